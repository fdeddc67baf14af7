"""The result schema on disk: what a run and a cell hold, versioned; written once, atomically.

Raw values are stored and everything else is derived from them. History of `SCHEMA`:
1  first form.
"""

import math
import os
import tempfile
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from bench.data.windows import Source
from bench.errors import UsageError

SCHEMA = 1

Record = TypeVar("Record", bound=msgspec.Struct)

Status = Literal["ok", "failed", "hole"]
"""failed: it was tried and went wrong; hole: it could not be tried here, for a stated reason that is nobody's fault."""


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The published figures of a workload."""

    curve: str
    """File in `bench/published`, columns epoch, seconds, loss, …"""
    source: str


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


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run needs to remember of an arm."""

    framework: str
    tier: str
    settings: dict[str, str]
    hole: str | None
    """Why it cannot run here, with the cure; None when it can."""


class _Versioned(msgspec.Struct, frozen=True):
    schema: int


class PlannedCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cell of the grid, before it is measured."""

    id: str
    workload: str
    arm: str
    device: str
    block: int
    phases: tuple[str, ...]
    estimate_s: float


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`run.json`: what was asked, of what, on which machine."""

    schema: int
    id: str
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


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One epoch of a learning curve, trained from the initial weights."""

    epoch: int
    """Numbered from 1."""
    train: dict[str, float]
    """Means over the epoch's samples, in training mode, while the weights change."""
    validation: dict[str, float]
    train_s: float
    validate_s: float


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cells/<id>.json`: the measurements of one process, or why there are none."""

    schema: int
    id: str
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


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One phase of a cell, read out of pytest-benchmark's JSON."""

    name: str
    rounds_s: tuple[float, ...]
    """Every timed region in order, warm-up rounds first."""
    warmup_rounds: int
    steps_per_round: int
    samples_per_round: int
    about: str | None = None
    """Of an aside: what was timed, in words."""

    @property
    def counted_s(self) -> tuple[float, ...]:
        """The rounds that count: after the warm-up."""
        return self.rounds_s[self.warmup_rounds :]


def phases(cell: Cell) -> dict[str, Phase]:
    """The cell's measured phases by name, in the order they were measured."""
    found = {}
    for entry in cell.pytest_benchmark.get("benchmarks", ()):
        extra = entry["extra_info"]
        found[extra["phase"]] = Phase(
            name=extra["phase"],
            rounds_s=tuple(entry["stats"]["data"]),
            warmup_rounds=extra["warmup_rounds"],
            steps_per_round=extra["steps_per_round"],
            samples_per_round=extra["samples_per_round"],
            about=extra.get("about"),
        )
    return found


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


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`parity/<id>.json`: an arm against the reference on one workload and device."""

    schema: int
    id: str
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
    """Writes JSON under a temporary name beside `path`, syncs, and renames: the file is whole or absent."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


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
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path, kind: type[Record]) -> Record:
    """Reads one record; a UsageError names the file when it is missing, unreadable or of another schema."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected a {kind.__name__} record") from error
    try:
        schema = msgspec.json.decode(content, type=_Versioned).schema
        if schema != SCHEMA:
            raise UsageError(
                f"{path}: result schema {schema}; this bench reads schema {SCHEMA}: use the bench that wrote it"
            )
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path}: not a whole {kind.__name__} record ({error}); delete it and resume the run"
        ) from error
