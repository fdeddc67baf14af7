"""What a fleet does on one machine: say what it is, get ready, prove its arms, and measure one cell at a time.

A station lives in a process of the cluster's own, on the machine it speaks for. `check_in` takes and gives nothing but
plain values: what the machine runs may be another bench than the driver's. Everything else is asked only of the same.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import caches, cuda, environment, gate, gpu, launch, prepare, record, runfolder, runner, schedule
from bench.checkup import Check
from bench.contest import Contest, Options
from bench.data.windows import Source
from bench.display.progress import Display
from bench.errors import MachineError, UsageError
from bench.execution import Setting
from bench.implementation import Device
from bench.interpreters import probe_self
from bench.launch import Launch, Order
from bench.record import Parity

BOOT = Path("/proc/sys/kernel/random/boot_id")
LOCK_S = 150.0
"""A station whose driver was killed lets go of its machine once Ray knows of it, which can take a minute."""


@dataclass(frozen=True)
class Ready:
    """A machine that has everything it needs."""

    environment: dict[str, Any]
    """Keys of `bench.environment.describe`, and interpreters."""
    holes: Mapping[str, str]
    """Arms that cannot run here, with the reason."""
    data: Mapping[str, tuple[str, Source]]
    """By workload: digest of the spec, and what its data is."""
    threads: int
    parallel: int
    """So many parity processes run side by side."""


class Station:
    """One machine of a fleet. Errors are those of `bench.errors`, one line each."""

    def __init__(self) -> None:
        self._lock: int | None = None
        self._contest: Contest | None = None
        self._shared: Launch | None = None
        self._setting = Setting()
        self._prepared: Mapping[str, launch.Prepared] = {}
        self._cores: tuple[int, ...] = ()
        self._answered: Path | None = None
        """Checkpoint of the cell that was measured last: a training whose record is lost on its way goes on from it."""

    def check_in(self) -> dict[str, str]:
        """Takes the machine for this fleet; what tells it from others, and what runs on it. Plain text only."""
        caches.require_temporary()
        runfolder.check_cache()
        _require_priority()
        self._take()
        return {
            "identity": identity(),
            "code": probe_self(),
            "python": platform.python_version(),
        }

    def get_ready(self, run_id: str, name: str, options: Options, setting: Setting) -> Ready:
        """Prepares data and weights, and asks every arm's interpreter; `name` is what the fleet calls the machine."""
        if options.device == "gpu":
            gpu.require()
            cuda.require_shared_memory()
        if "BENCH_DATA_DIR" in os.environ:  # where this machine has its data, it knows best
            options = dataclasses.replace(options, data_dir=Path(os.environ["BENCH_DATA_DIR"]))
        ready = runner.resolve(options, setting.profiles[options.profile])
        if options.device == "gpu":
            cuda.require(ready.arms.values())
        runner.require_devices(ready)
        work = runfolder.work_folder(run_id) / name
        prepared, workloads = prepare.prepare(ready, work, _silent())
        self._contest, self._setting = ready, setting
        self._shared = runner.shared_by(ready, setting, work, name)
        self._prepared = {**prepared, record.CEILING: launch.BARE}
        threads = self._shared.threads
        self._cores = environment.idle_cores(threads)  # once: all arms of a block run on the same ones
        return Ready(
            environment=runner.machine(ready),
            holes=dict(ready.holes),
            data={key: (known.digest, known.data) for key, known in workloads.items()},
            threads=threads,
            parallel=gate.side_by_side(threads, environment.memory_limit_bytes(), ready.most_devices),
        )

    def examine(self, calm_s: float) -> None:
        """Looks at the machine as `bench doctor` does; a MachineError unless it becomes quiet within `calm_s`."""
        assert self._shared is not None, "a station gets ready first"
        until_s = time.monotonic() + calm_s
        with _on_cores(self._cores):  # what keeps others busy disturbs nothing that is measured on these
            while disturbing := self._disturbing(self._shared.device):
                if time.monotonic() > until_s:
                    first = disturbing[0]
                    # Not what it found: the names of somebody's processes would be published with the results.
                    raise MachineError(f"bench doctor, {first.name}: disturbs; bench doctor says there what to do")

    def _disturbing(self, device: Device) -> list[Check]:
        return [check for check in self._setting.look(device) if check.verdict == "disturbs"]

    def hold(self, pairs: Sequence[tuple[str, str, str]]) -> list[bytes]:
        """Holds workloads and arms against the reference, side by side; their records. Each comes with its id."""
        assert self._contest is not None, "a station gets ready first"
        assert self._shared is not None, "a station gets ready first"
        folder = self._shared.work / "parity-records"
        folder.mkdir(exist_ok=True)
        checks = [
            schedule.check(
                self._contest, self._shared, self._setting, workload, arm, folder / f"{parity_id}.json", len(pairs)
            )
            for workload, arm, parity_id in pairs
        ]
        found: list[Parity] = []
        with _on_cores(self._cores):
            gate.run_all(checks, folder, self._shared.work, len(checks), float("inf"), found.append)
        return [(folder / f"{parity.id}.json").read_bytes() for parity in found]

    def measure(self, order: Order, left_s: float | None, patient: bool) -> bytes:
        """Measures one cell: the content of its record. It ends after `left_s` seconds, whatever comes."""
        assert self._shared is not None, "a station gets ready first"
        until_s = None if left_s is None else time.monotonic() + left_s
        here = dataclasses.replace(order, prepared=self._prepared[order.planned.workload], until_s=until_s)
        # The answer to the question before has arrived, else this one would not have been asked.
        if self._answered is not None:
            self._answered.unlink(missing_ok=True)
        if order.anew:
            self._shared.checkpoint(order.planned).unlink(missing_ok=True)
        with _on_cores(self._cores):
            found = launch.measure(here, self._shared, patient=patient)
        self._answered = self._shared.checkpoint(order.planned)
        return record.encode(found)

    def leave(self) -> None:
        """Takes the run's working files away."""
        if self._shared is not None:
            shutil.rmtree(self._shared.work, ignore_errors=True)

    def _take(self) -> None:
        """Holds the machine for the life of this process: two fleets on it would measure each other."""
        self._lock = os.open(caches.root() / "fleet.lock", os.O_RDWR | os.O_CREAT, 0o644)
        until_s = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise UsageError(
                        "BENCH_CACHE_DIR: another fleet measures on this machine, or two nodes share the folder; wait "
                        "for it, end one of two nodes of one machine, or give each machine a folder of its own"
                    ) from None
                time.sleep(0.1)


def identity() -> str:
    """What tells this machine from all others and stays when it comes back; says nothing about it."""
    path = caches.root() / "machine"
    with contextlib.suppress(FileExistsError), path.open("x") as stream:
        stream.write(secrets.token_hex(16))
    # A cache may lie on a file system that machines share, and a kernel may be shared by containers.
    parts = (path.read_text(), BOOT.read_text(), platform.node())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _require_priority() -> None:
    """What measures must not give way to everything else, as Ray has its workers do."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    if (nice := os.getpriority(os.PRIO_PROCESS, 0)) > 0:
        raise MachineError(f"Ray's workers run at nice {nice} here; start its node with RAY_worker_niceness=0")


@contextlib.contextmanager
def _on_cores(cores: tuple[int, ...]) -> Iterator[None]:
    """Children inherit it. Where a quota is tighter than the mask, they would start threads for all of the mask."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _silent() -> Display:
    return Display(Console(file=io.StringIO()))
