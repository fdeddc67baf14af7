"""The result schema on disk: what a run and a cell hold, versioned; written once, atomically.

Raw values are stored and everything else is derived from them. A file's second line holds the SHA-256 of the file
without that line. History of `SCHEMA`, every one of which this bench reads:
1  first form, without a checksum; warm-up rounds assumed in number.
2  checksum; labels (the A/A control), margin, ledger, windows of the sentinel, starts of rounds, energy, tries; the end
   of the warm-up is found in the rounds; ceiling cells.
3  trainings: a seed for each planned cell, the test set at the best epoch, checkpoints, divergence; a workload's target
   and margin; dead starts.
4  the floor of a workload's training step; ceiling cells measure memory and operations in a row too; what ran on a GPU.
5  the machine of a fleet that a cell was measured on, and whether its compile caches were empty; how many devices a
   workload is trained on, and steps without the exchange of gradients.
"""

import hashlib
import math
import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from bench.data.windows import Source
from bench.errors import UsageError

SCHEMA = 5
CONTROL = "a2"
"""Label of the A/A control: the second entry of one arm."""
CEILING = "ceiling"
"""Stands for the workload in a cell that measures how fast a framework multiplies matrices; also its phase."""
STARTS = "starts"
"""Phase of a cell that looks at many seeds of a workload before their first step."""

SHARED = "shared"
"""Initialiser of a start from the suite's own initial weights."""
ROUNDING_METRICS = ("above_1.5", "below_-0.5", "accuracy_at_0.5")
"""Metrics of a validation under the published head beside the workload's own: shares of outputs that `round` takes to 2
or more and to less than 0; the accuracy if outputs were cut at 0.5."""

ABSENT = frozenset({"container", "cpu_quota", "gpu_problem", "image"})
"""Keys of a run's environment whose None says that there is none, not that it is unknown."""

Record = TypeVar("Record", bound="Named")

Status = Literal["ok", "failed", "hole"]
"""failed: it was tried and went wrong; hole: it could not be tried here, for a stated reason that is nobody's fault."""


class Versioned(msgspec.Struct, frozen=True):
    """What every record of any schema says of itself."""

    schema: int


class Named(Versioned, frozen=True):
    """What has a file of its own."""

    LATEST: ClassVar[int] = SCHEMA
    """Its latest schema."""
    CURE: ClassVar[str] = "delete it and resume the run"
    """What to do about a damaged one."""
    UNCHECKED: ClassVar[int] = 1
    """Its last schema without a checksum."""
    id: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The published figures of a workload."""

    curve: str
    """File in `bench/published`, columns epoch, seconds, loss, …"""
    source: str


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a training of a workload is judged by."""

    metric: str
    """Of the validation set: `accuracy`, of which more is better, or `loss`, of which less is."""
    target: float
    """Time-to-quality is the time until the metric is as good as this."""
    margin: float
    """Two trainings count as equally good when their metrics are proved to differ by less."""


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least that one training step can cost; what counts is told in `bench.limits`."""

    product_flops: int
    bytes: int
    chain: int
    """Operations of which each needs the one before; 0 without a recurrent layer."""
    distinct_inputs: float
    """Tokens, or rows of the series, that a batch holds; mean over some."""


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run needs to remember of a workload to be reported without the spec it came from."""

    title: str
    digest: str
    head: str | None
    metrics: tuple[str, ...]
    input_shape: tuple[int, ...]
    layers: tuple[tuple[str, str, tuple[int, ...], int], ...]
    """Layer name, kind, output shape, parameter count."""
    parameters: int
    batch_size: int
    steps_per_epoch: int
    epochs: int
    flops_per_step: int
    bytes_per_step: int
    optimizer: str
    data: Source
    naive_loss: float | None
    """Jena: mean absolute error, in standard deviations, of "as warm as now" on the validation windows."""
    published: Published | None = None
    quality: Quality | None = None
    """None in schemas 1 and 2."""
    naive_test_loss: float | None = None
    """The same as `naive_loss` on the test windows; None in schemas 1 and 2."""
    precision: str = "float32"
    floor: Floor | None = None
    """None in schemas 1 to 3."""
    devices: int = 1
    """That shared every batch in equal parts."""


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run needs to remember of an arm."""

    framework: str
    tier: str
    settings: dict[str, str]
    hole: str | None
    """Why it cannot run here, with the cure; None when it can."""


class PlannedCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cell of the grid, before it is measured."""

    id: str
    workload: str
    arm: str
    device: str
    block: int
    phases: tuple[str, ...]
    estimate_s: float
    label: str = ""
    """`a2` for the second entry of the control arm, else empty."""
    seed: int | None = None
    """Of weights and order of samples; None: the run's."""

    @property
    def contestant(self) -> str:
        """Name of the arm, with its label: what is compared."""
        return contestant(self.arm, self.label)


class Run(Named, frozen=True, forbid_unknown_fields=True):
    """`run.json`: what was asked, of what, on which machine."""

    CURE: ClassVar[str] = "restore it from a copy: without it the run can be neither read nor resumed"
    started: str
    """UTC, ISO 8601."""
    command: tuple[str, ...]
    profile: str
    device: str
    seed: int
    budget_s: float | None
    arms: dict[str, Arm]
    workloads: dict[str, Workload]
    plan: tuple[PlannedCell, ...]
    """The grid in the order it is measured; blocks past the budget are not in it."""
    environment: dict[str, Any]
    """What the machine is: keys of `bench.environment.describe`."""
    finished: str | None = None
    """UTC, ISO 8601; None while the run goes on, or when it was interrupted."""
    ended_because: str | None = None
    """In words: all blocks measured, budget spent, interrupted."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how it went: phases left out for the budget, and why."""
    margin: float = 0.02
    """Two step times count as the same when their ratio is proved to lie within 1 ± margin."""
    control: str | None = None
    """The arm entered twice; None: the run has no A/A control."""
    used_s: float = 0.0
    """Seconds of the budget that were used when this was written."""


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One epoch of a learning curve, trained from the initial weights."""

    epoch: int
    """Numbered from 1."""
    train: dict[str, float]
    """Means over the epoch's samples, in training mode, while the weights change."""
    validation: dict[str, float]
    train_s: float
    validate_s: float


class Tested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured once, at the end of a training, with the weights of its best epoch."""

    epoch: int
    """The best one by the workload's quality metric on the validation set; of equals the first."""
    metrics: dict[str, float]
    """Of the test set."""
    seconds: float
    shuffled: tuple[dict[str, float], ...] = ()
    """Metrics of the validation set with the time steps of every window in another order, once for each of some
    permutations; empty for token data."""


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model's outputs for all training samples are before the first step."""

    seed: int
    initialiser: str
    """`SHARED`, or whose own initial weights they are."""
    live: int
    """So many samples' outputs lie in (0, 1), where the published head has a gradient."""
    samples: int
    below: int
    """So many outputs are 0 or less; the others are 1 or more."""
    low: float
    median: float
    high: float
    """Smallest, median and largest output."""


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stretch of a cell's life, in seconds since its process was started."""

    name: str
    """One of `SPANS`."""
    start_s: float
    end_s: float


SPANS = (
    "interpreter",  # start of the process to the first line of the suite's own code in it
    "data",  # open the prepared data, read the initial weights
    "import",  # of the framework
    "build",  # model and session
    "stage",  # data and weights to the device
    "first_step",  # compile and run one step
    "train_step",  # its rounds and what lies between them
    "epoch",  # with the compilation of its loop
    "validate",
    "checks",  # self-test of the clock, step of a part of a batch, aside: beside the measured phases
    "ceiling",
    "suite",  # the suite's own work: collecting, garbage collection, statistics, writing
    "teardown",  # last line of the suite's code to the end of the process
)


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What else the machine was doing in a stretch of time, in seconds since the cell's process was started."""

    start_s: float
    """Negative: before the process."""
    end_s: float
    readings: dict[str, float]
    """By name with unit; what cannot be read here is absent. Names and meaning: `bench.sentinel`."""
    taints: tuple[str, ...] = ()
    """Why a round in it is tainted, in words; empty: it is not."""


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A try of a cell that does not count, because something outside of it killed or disturbed it."""

    reason: str
    """`killed by SIGKILL …` or `disturbed in 20 of 35 rounds: …`."""
    rounds_s: tuple[float, ...] = ()
    """Its rounds of `train_step`, or, of a whole training, its epochs, as far as there were any."""


class KernelPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ran on a device in some training steps, by the framework's profiler."""

    steps: int
    wall_s: float
    """What these steps took under the profiler by the suite's clock."""
    count: int
    """Kernels and copies."""
    busy_s: float
    """By the device's clock, in which at least one ran."""
    span_s: float
    """By the device's clock, from the start of the first to the end of the last."""
    names: tuple[tuple[str, int, float], ...]
    """Name, how often, seconds in all; those that took longest, longest first."""


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Difference of an energy counter over the rounds of `train_step`."""

    source: str
    """The counter, in words."""
    joules: float | None
    """None: unavailable."""
    seconds: float | None
    steps: int | None
    reason: str | None = None
    """Why it is unavailable."""


class Cell(Named, frozen=True, forbid_unknown_fields=True, dict=True):
    """`cells/<id>.json`: the measurements of one process, or why there are none.

    Its `__dict__` holds none of the fields: `bench.derived` keeps in it what it found in them.
    """

    workload: str
    arm: str
    device: str
    block: int
    digest: str
    data_identity: str
    seed: int
    status: Status
    reason: str | None
    """One line for failed and hole; None for ok."""
    output_tail: str
    """Last output of a failed process; empty otherwise."""
    parity: str | None
    """Name of the parity record it rests on, without `.json`."""
    started: str
    wall_s: float
    curve: tuple[CurvePoint, ...]
    peak_memory_bytes: int | None
    device_peak_memory_bytes: int | None
    versions: dict[str, str]
    """What the session really ran with."""
    environment: dict[str, str]
    """Environment variables the runner set for it."""
    threads: int
    pytest_benchmark: dict[str, Any]
    """pytest-benchmark's own JSON: machine, and per phase the seconds of every round, warm-up rounds included."""
    label: str = ""
    ledger: tuple[Span, ...] = ()
    """Where the process's time went, in order; empty in schema 1 and for a cell that was not tried."""
    watch: tuple[Window, ...] = ()
    """What the machine was doing: before, between the rounds, after, in order."""
    device_process_peak_memory_bytes: int | None = None
    """Most device memory the driver saw this process hold, read between rounds; None where there is no such reading."""
    energy: tuple[Energy, ...] = ()
    tries: tuple[Try, ...] = ()
    """Earlier ones, which do not count."""
    beside: str | None = None
    """Why a measurement beside the planned phases is missing although they are whole; None: nothing failed."""
    tested: Tested | None = None
    """Of a training that reached its end."""
    resumed: tuple[int, ...] = ()
    """A training was killed and taken up again after each of these epochs; their times are those of the process that
    trained them."""
    diverged: bool = False
    """A training went to NaN or infinity: it failed, and its curve ends with the last finite epoch."""
    starts: tuple[Start, ...] = ()
    """Of a study of dead starts."""
    kernels: KernelPath | None = None
    """None: not on a GPU."""
    machine: str = ""
    """Its name in a fleet; empty: the run's only one."""
    cold: bool | None = None
    """Whether its compile caches were empty; None for a cell that was not tried, and in schemas 1 to 4."""

    @property
    def contestant(self) -> str:
        """Name of the arm, with its label: what is compared."""
        return contestant(self.arm, self.label)


def tuned(run: Run) -> frozenset[str]:
    """The arms that are told beside the others and not among them."""
    return frozenset(name for name, arm in run.arms.items() if arm.tier == "tuned")


def contestant(arm: str, label: str) -> str:
    """`torch-eager`, or `torch-eager (a2)` for the second entry of the A/A control."""
    return f"{arm} ({label})" if label else arm


class ParityCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor held against the reference."""

    precision: str
    quantity: str
    """What was compared, down to the tensor: `gradient conv1.kernel`."""
    error: float | None
    """max|a-b| / max|b|; for a sampler's share, the distance from what it should be. None: a tensor is missing, of
    another shape or not finite, and there is no error to state."""
    bound: float
    passed: bool

    @property
    def nearness(self) -> float:
        """Error over bound; infinite where there is no error to state, or where there is one and none is allowed."""
        if self.error is None:
            return math.inf
        if self.bound == 0:
            return math.inf if self.error else 0.0
        return self.error / self.bound


class Parity(Named, frozen=True, forbid_unknown_fields=True):
    """`parity/<id>.json`: an arm against the reference on one workload and device."""

    workload: str
    arm: str
    device: str
    digest: str
    passed: bool
    reason: str | None
    """The first failing tensor with error and bound, or the exception; None when it passed."""
    checks: tuple[ParityCheck, ...]
    notes: tuple[str, ...]
    """What a reader should know of how it was held to the reference, or what was found on the way."""
    wall_s: float


def write(path: Path, value: msgspec.Struct) -> None:
    """Writes JSON with its checksum under a temporary name, syncs, renames to `path`: the file is whole or absent."""
    write_bytes(path, encode(value))


def encode(value: msgspec.Struct) -> bytes:
    """The content of a record's file."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    assert body.startswith(b"{\n"), "a record is a JSON object of several lines"
    return body[:2] + _checksum_line(body) + body[2:]


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically; on failure nothing is left behind and `path` is as it was."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        _sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Makes the new name last: the data is synced already, its entry in the folder is not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checksum_line(body: bytes) -> bytes:
    return f' "checksum": "sha256:{hashlib.sha256(body).hexdigest()}",\n'.encode()


def read(path: Path, kind: type[Record]) -> Record:
    """Reads one record of any known schema; a UsageError names a file that is missing, damaged or of an unknown one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected a {kind.__name__} record") from error
    return decode(content, kind, str(path))


def decode(content: bytes, kind: type[Record], path: str, cure: str | None = None) -> Record:
    """The record whose file has this content; `path` is what a UsageError calls it, `cure` what to do if it is none."""
    cure = cure or kind.CURE
    first, line, rest = [*content.split(b"\n", 2), b"", b""][:3]
    body, stated = (first + b"\n" + rest, line + b"\n") if line.startswith(b' "checksum": ') else (content, None)
    try:
        try:
            value = msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError:  # a record of a later schema need not fit: what it says of itself comes first
            _require_known(path, kind, msgspec.json.decode(body, type=Versioned).schema)
            raise
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path}: not a whole {kind.__name__} record ({error}); {cure}") from error
    _require_known(path, kind, value.schema)
    if value.schema > kind.UNCHECKED and stated != _checksum_line(body):
        raise UsageError(f"{path}: its content does not match its checksum; {cure}")
    return value


def _require_known(path: str, kind: type[Record], schema: int) -> None:
    if not 1 <= schema <= kind.LATEST:
        raise UsageError(
            f"{path}: result schema {schema}; this bench reads schemas 1 to {kind.LATEST}: use the bench that wrote it"
        )
