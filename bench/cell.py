"""What the runner tells a cell's process, and what that process hands back."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.data import Kind
from bench.derived import LOCAL
from bench.implementation import Device
from bench.layers import Gate
from bench.record import CurvePoint, Energy, KernelPath, Span, Start, Tested, Window, write_bytes
from bench.workload import Head

CLOCK = "clock"
"""Not a measurement but a check of one: whether `synchronise` waits."""
KERNELS = "kernels"
"""Not a measurement but a proof: what runs on a GPU in a step. Last: a profiler may leave something behind."""
EXTRAS = ("small_step", "aside")
"""Measured last, in block 1, where an arm has them; no plan promises them."""
PHASES = (
    "ceiling", "starts", "first_step", "train_step", CLOCK, "epoch", "validate", "converge", LOCAL, *EXTRAS, KERNELS,
)  # fmt: skip
"""In the order they are measured; `bench/measure/measure_<phase>.py` measures each."""

BENCHMARK_FILE = "benchmark.json"
OBSERVED_FILE = "observed.json"
PHASE_FILE = "phase"
CURVE_FILE = "curve.jsonl"


@dataclass(frozen=True)
class Request:
    """One cell, as options of `python -m pytest bench/measure/…`; the defaults serve a person who types them."""

    workload: str
    arm: str
    device: Device = "cpu"
    head: Head | None = None
    gate: Gate | None = None
    threads: int | None = None
    """CPU threads for the framework; None: this process's CPU budget."""
    seed: int = 0
    """Of initial weights, order of samples and the framework's own draws."""
    rounds: int = 35
    """Of `train_step`, warm-up included: its end is found afterwards."""
    steps_per_round: int = 1
    epoch_limit_s: float | None = None
    """Leave epoch and validate out when the measured step time says they take longer; None: they have all the time."""
    epochs: int | None = None
    """Of `converge`; None: the workload's own schedule."""
    data: Kind = "auto"
    data_dir: str | None = None
    prepared: str | None = None
    """Folder the runner saved the data in; None: load it as `data` and `data_dir` say."""
    weights: str | None = None
    """File of initial weights; None: draw them from `seed`."""
    checkpoint: str | None = None
    """File that `converge` goes on from if it is there, and writes after every epoch but the last; None: neither."""
    out: str | None = None
    """Folder for what the cell hands back; None: a person is looking at the screen."""
    parent: int | None = None
    """Process to die with."""
    place: int | None = None
    """Among the processes of this cell, which train together: 0 is the first, which reports. None: there is one."""
    started_s: float | None = None
    """Of the monotonic clock, when that process started this one; None: the suite's first line in it."""

    def options(self) -> list[str]:
        """The command line options that say the same."""
        given = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return [f"--{name.replace('_', '-')}={value}" for name, value in given if value is not None]


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a cell's process saw, besides pytest-benchmark's own file."""

    failure: str | None
    """One line; None when every phase was measured."""
    skipped: str | None
    """Why epoch and validate were left out; None when they were not."""
    threads: int
    versions: dict[str, str]
    peak_memory_bytes: int | None
    device_peak_memory_bytes: int | None
    device_process_peak_memory_bytes: int | None
    ledger: tuple[Span, ...]
    """Up to the last line of the suite's code in the process."""
    watch: tuple[Window, ...]
    energy: tuple[Energy, ...]
    tested: Tested | None = None
    """Of a training that reached its end."""
    starts: tuple[Start, ...] = ()
    """Of a study of dead starts."""
    resumed: tuple[int, ...] = ()
    """The training was taken up again after each of these epochs, in this process after the last of them."""
    diverged: bool = False
    """The failure is weights or metrics that are not finite."""
    kernels: KernelPath | None = None
    """None: not on a GPU."""
    unused_checkpoint: str | None = None
    """Why the checkpoint that was there was not gone on from, in one line; None: it was, or there was none."""


def command(python: str, phases: tuple[str, ...], request: Request) -> list[str]:
    """The process of a cell. Nothing of the caller's pytest configuration or plugins reaches it."""
    assert request.out is not None
    folder = Path(__file__).resolve().parent / "measure"
    return [
        python,
        "-P",  # the working directory is not a place to import from
        "-m",
        "pytest",
        *(str(folder / f"measure_{phase}.py") for phase in PHASES if phase in phases),
        "--config-file=/dev/null",
        f"--rootdir={folder}",
        f"--confcutdir={folder}",
        "--import-mode=importlib",
        "--exitfirst",
        "--capture=no",  # what a dying process printed last must not die with it
        "--tb=short",
        "-q",
        # pytest_benchmark is loaded by name because automatic loading is off; the others would add work of their own.
        *(f"-p{plugin}" for plugin in ("pytest_benchmark.plugin", "no:cacheprovider", "no:logging")),
        *(f"-pno:{plugin}" for plugin in ("unraisableexception", "threadexception", "doctest", "junitxml")),
        f"--benchmark-json={Path(request.out, BENCHMARK_FILE)}",
        "--benchmark-timer=time.perf_counter",
        "--benchmark-quiet",
        *request.options(),
    ]


def begin_curve(out: Path, points: Sequence[CurvePoint]) -> None:
    """Makes the file of the learning curve, with these epochs in it and no others."""
    write_bytes(out / CURVE_FILE, b"".join(map(_line, points)))


def add_point(out: Path, point: CurvePoint) -> None:
    """Puts one epoch on disk at once, so that a killed cell keeps it."""
    with (out / CURVE_FILE).open("ab") as stream:
        stream.write(_line(point))
        stream.flush()
        os.fsync(stream.fileno())


def _line(point: CurvePoint) -> bytes:
    return msgspec.json.encode(point) + b"\n"


def curve(out: Path) -> tuple[CurvePoint, ...]:
    """The epochs a cell's process completed, whether it lived to its end or not."""
    path = out / CURVE_FILE
    if not path.exists():
        return ()
    lines = path.read_bytes().splitlines(keepends=True)  # a last line without its end was cut off by a kill
    return tuple(msgspec.json.decode(line, type=CurvePoint) for line in lines if line.endswith(b"\n"))


def observed(out: Path) -> Observed | None:
    """What the cell's process saw; None when it died before it could say."""
    path = out / OBSERVED_FILE
    return msgspec.json.decode(path.read_bytes(), type=Observed) if path.exists() else None


def measured(out: Path) -> dict[str, Any]:
    """pytest-benchmark's file; empty when the process died before it was whole."""
    try:
        found: dict[str, Any] = msgspec.json.decode((out / BENCHMARK_FILE).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return found
