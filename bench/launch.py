"""One cell from its plan to its record: a fresh process, what it handed back, or how it ended."""

import math
import os
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import cell, derived, process, record, sentinel
from bench.cell import Observed, Request
from bench.implementation import Arm, Device, launched
from bench.interpreters import base_environment, interpreter
from bench.profiles import SHORT, Profile
from bench.record import Cell, PlannedCell
from bench.runfolder import now

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
LEAST_LIMIT_S = 300.0
LIMIT_FACTOR = 6.0
"""A cell may take so many times its estimate, and `LEAST_LIMIT_S` at least, before it counts as hanging.

A training has this time for every epoch: a machine can be far slower than any estimate, and hours would be lost.
"""


@dataclass(frozen=True)
class Prepared:
    """What all cells of one workload share."""

    digest: str
    data_identity: str
    data: Path
    weights: Mapping[int, Path]
    """Files of initial weights, by seed."""
    devices: int = 1
    """That it is trained on."""


BARE = Prepared(digest="", data_identity="none", data=Path(), weights={})
"""For cells without a workload."""


@dataclass(frozen=True)
class Launch:
    """What all cells of a run share."""

    profile: Profile
    work: Path
    threads: int
    """Of the machine: the CPU budget."""
    seed: int
    device: Device
    data_limit_bytes: int | None = None
    """Of a cell's private writable memory; None: as much as it wants."""
    least_limit_s: float = LEAST_LIMIT_S
    machine: str = ""
    """Its name in a fleet."""
    most_devices: int = 1
    """That a cell of the run is trained on. On a CPU each has the same share of the threads, however many it uses."""

    def threads_on(self, devices: int) -> int:
        """CPU threads of a cell that is trained on so many devices; beside GPUs, all there are."""
        return self.threads if self.device == "gpu" else self.threads // self.most_devices * devices

    def compiled(self, planned: PlannedCell) -> Path:
        """Compile caches of a cell, its contestant's own on its workload: both entries of the control start alike."""
        parts = (planned.workload, planned.arm, planned.label)
        return self.work / "compiled" / ".".join(filter(None, parts))

    def begun(self, planned: PlannedCell) -> Path:
        """A file that is there once compile caches of the contestant were used to the end of a cell."""
        return self.compiled(planned) / ".begun"

    def cold(self, planned: PlannedCell) -> bool:
        """Whether the cell finds its compile caches empty: the contestant's first on its workload on this machine."""
        return not self.begun(planned).exists()

    def checkpoint(self, planned: PlannedCell) -> Path:
        """Where a training puts what it goes on from if it is killed."""
        folder = self.work / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder / f"{planned.id}.npz"

    def environment(
        self, arm: Arm, cache: Path, devices: int = 1, threads: int | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The whole environment of an arm's processes, and what in it the suite has set; makes the cache folder.

        `threads` are those of all processes together; None: as many as a cell on so many devices has.
        """
        cache.mkdir(parents=True, exist_ok=True)
        of_all = threads or self.threads_on(devices)
        count = str(max(1, of_all // devices) if arm.launcher else of_all)
        chosen = dict.fromkeys(THREAD_VARIABLES, count) | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        chosen |= {name: value.format(cache=cache, threads=count) for name, value in arm.environment.items()}
        base = base_environment()
        base.pop("BENCH_DATA_DIR", None)  # data comes from the runner, nowhere else
        stated = chosen | {"PYTHONHASHSEED": base["PYTHONHASHSEED"]}
        return base | chosen, {name: value.replace(str(cache), "{cache}") for name, value in stated.items()}


def unmeasured(planned: PlannedCell, prepared: Prepared, launch: Launch, status: record.Status, reason: str) -> Cell:
    """The record of a cell that was not tried."""
    return _cell(planned, prepared, launch, status=status, reason=reason, started=now(), wall_s=0.0)


@dataclass(frozen=True)
class Order:
    """One cell to be measured."""

    planned: PlannedCell
    arm: Arm
    prepared: Prepared
    parity: str | None
    """Id of the record it rests on."""
    until_s: float | None
    """Of the monotonic clock: when the budget ends it."""
    epoch_limit_s: float | None
    """It leaves epoch and validate out by itself when it finds that they take longer."""
    anew: bool = False
    """It was measured before, on another machine of a fleet: nothing that lies here is of it."""


def measure(order: Order, launch: Launch, *, patient: bool) -> Cell:
    """Runs the cell's process and makes its record.

    One that something outside of it kills is tried once more, and so is one that was disturbed in most of its rounds if
    the caller is `patient`; both only if the budget holds it.
    """
    cold = launch.cold(order.planned)
    first, ended = _measure_once(order, launch, cold)
    launch.begun(order.planned).touch()
    killed = first.reason if ended.killed_from_outside else None
    why = killed or (disturbance(first) if patient else None)
    if why is None or (order.until_s is not None and time.monotonic() + ended.wall_s > order.until_s):
        return first
    second, _ = _measure_once(order, launch, cold)
    launch.begun(order.planned).touch()
    if killed is None and second.status != "ok":
        return first  # disturbed, and better than nothing
    step = derived.phases(first).get("train_step")
    return msgspec.structs.replace(second, tries=(record.Try(why, step.rounds_s if step else ()),))


def refused(parity: record.Parity) -> str:
    """Why a cell of an arm that has failed parity is not measured."""
    return f"refused to time an arm that fails parity: {parity.reason}"


def disturbance(found: Cell) -> str | None:
    """What disturbed most rounds of `train_step`; None where most were left alone."""
    step = derived.phases(found).get("train_step") if found.status == "ok" else None
    if step is None or not step.mostly_tainted:
        return None
    reasons = dict.fromkeys(reason for taints in step.taints for reason in taints)
    return f"disturbed in {sum(step.tainted)} of {len(step.rounds_s)} rounds: {next(iter(reasons))}"


def _measure_once(order: Order, launch: Launch, cold: bool) -> tuple[Cell, process.Ended]:
    planned, arm, until_s = order.planned, order.arm, order.until_s
    out = launch.work / "cells" / planned.id
    shutil.rmtree(out, ignore_errors=True)  # of an interrupted try
    out.mkdir(parents=True)
    compiled = launch.compiled(planned)
    if cold:
        shutil.rmtree(compiled, ignore_errors=True)  # of an interrupted try
    environment, stated = launch.environment(arm, compiled, order.prepared.devices)
    cores = sorted(os.sched_getaffinity(0))
    machine = sentinel.Sentinel(cores, launch.device, sentinel.own_cpu_s, gpus=order.prepared.devices)
    looked = machine.read()
    time.sleep(sentinel.MIN_WINDOW_S)  # the shortest look at the machine that says anything; nothing of ours runs
    before = machine.read()
    started, started_s = now(), time.monotonic()
    request = _request(order, launch, out, started_s)
    phases = _phases(planned, order.prepared.devices)
    command = launched(cell.command(interpreter(arm.framework), phases, request), arm, order.prepared.devices)
    limit_s = max(launch.least_limit_s, LIMIT_FACTOR * planned.estimate_s)
    output = out / "output.log"
    ended = process.run(
        command,
        environment=environment,
        folder=out,
        output=output,
        limit_s=limit_s,
        until_s=math.inf if until_s is None else until_s,
        progress=lambda: len(cell.curve(out)),
        data_limit_bytes=_data_limit_bytes(launch, arm, order.prepared.devices),
    )
    budget_first = until_s is not None and time.monotonic() >= until_s
    ended_at = machine.read()
    time.sleep(sentinel.MIN_WINDOW_S)
    # A process that died could not watch for itself; one that lived did so, round by round.
    during = observed.watch if (observed := cell.observed(out)) else (machine.window(before, ended_at, started_s),)
    watch = (machine.window(looked, before, started_s), *during, machine.window(ended_at, machine.read(), started_s))
    status, reason, measured, beside = _judge(planned, phases, ended, out, observed, limit_s, budget_first)
    spans = observed.ledger if observed else ()
    told_s = spans[-1].end_s if spans else 0.0
    return _cell(
        planned,
        order.prepared,
        launch,
        status=status,
        reason=reason,
        started=started,
        wall_s=ended.wall_s,
        output_tail="" if status == "ok" and beside is None else process.tail(output),
        parity=order.parity,
        curve=cell.curve(out),
        observed=observed,
        peak_memory_bytes=ended.peak_memory_bytes,
        ledger=(*spans, record.Span("teardown", told_s, ended.wall_s)) if spans else (),
        watch=watch,
        environment=stated,
        pytest_benchmark=measured,
        beside=beside,
        cold=cold,
    ), ended


def _data_limit_bytes(launch: Launch, arm: Arm, devices: int) -> int | None:
    """Of each process of a cell: one that starts a process for each device may have as much as one that does not."""
    if launch.data_limit_bytes is None or devices == 1 or not arm.launcher:
        return launch.data_limit_bytes
    return launch.data_limit_bytes // devices


def _phases(planned: PlannedCell, devices: int) -> tuple[str, ...]:
    """What the cell's process does: the phases of the plan, and what comes with them."""
    if "train_step" not in planned.phases:
        return planned.phases
    proof = (cell.KERNELS,) if planned.device == "gpu" else ()
    local = (derived.LOCAL,) if devices > 1 and not planned.label else ()
    extras = cell.EXTRAS if planned.block == 1 and not planned.label and devices == 1 else ()
    return (*planned.phases, cell.CLOCK, *proof, *local, *extras)


def _request(order: Order, launch: Launch, out: Path, started_s: float) -> Request:
    planned = order.planned
    seed = launch.seed if planned.seed is None else planned.seed
    weights = order.prepared.weights.get(seed)  # a ceiling has none, a seed chosen later draws its own
    return Request(
        workload=planned.workload,
        arm=planned.arm,
        device=launch.device,
        threads=launch.threads_on(order.prepared.devices),
        seed=seed,
        rounds=launch.profile.rounds,
        steps_per_round=launch.profile.steps_per_round[planned.device],
        epoch_limit_s=order.epoch_limit_s,
        prepared=str(order.prepared.data),
        weights=None if weights is None else str(weights),
        checkpoint=str(launch.checkpoint(planned)) if "converge" in planned.phases else None,
        out=str(out),
        parent=os.getpid(),
        started_s=started_s,
    )


def _judge(
    planned: PlannedCell,
    phases: Collection[str],
    ended: process.Ended,
    out: Path,
    observed: Observed | None,
    limit_s: float,
    budget_first: bool,
) -> tuple[record.Status, str | None, dict[str, Any], str | None]:
    """Status and reason of a cell whose process has ended, what pytest-benchmark wrote, what failed beside the plan."""
    measured = cell.measured(out)
    phase_file = out / cell.PHASE_FILE
    where = f"during {phase_file.read_text()}" if phase_file.exists() else "before its first phase"
    if ended.killed and budget_first:
        return "hole", f"budget spent {where}, after {ended.wall_s:.0f} s", measured, None
    if ended.killed:
        last = f" after epoch {epochs}" if (epochs := len(cell.curve(out))) else ""
        return "failed", f"timed out {where}{last}: not done after {limit_s:.0f} s", measured, None
    name = process.signal_name(ended.returncode)
    if name is not None:
        hint = " (most often the kernel, out of memory)" if name == "SIGKILL" else ""
        return "failed", f"killed by {name}{hint} {where}", measured, None
    beside_plan = {derived.LOCAL, *cell.EXTRAS}
    done = {entry["extra_info"].get("phase") for entry in measured.get("benchmarks", ())} - beside_plan
    failure = observed.failure if observed is not None else None
    beside = failure if failure is not None and failure.startswith(tuple(f"{name}: " for name in beside_plan)) else None
    if observed is not None and (ended.returncode == 0 or beside) and failure == beside:
        wanted = planned.phases if observed.skipped is None else SHORT
        if done == set(wanted):
            if cell.KERNELS in phases and observed.kernels is None:
                return "failed", f"kernels: not looked at, because of {beside}", measured, None
            return "ok", None, measured, beside
    if failure is not None:
        return "failed", failure, measured, None
    how = f"ended with exit code {ended.returncode} {where}: {process.last_word(out / 'output.log')}"
    return "failed", how, measured, None


def _cell(
    planned: PlannedCell,
    prepared: Prepared,
    launch: Launch,
    *,
    status: record.Status,
    reason: str | None,
    started: str,
    wall_s: float,
    output_tail: str = "",
    parity: str | None = None,
    curve: tuple[record.CurvePoint, ...] = (),
    observed: Observed | None = None,
    peak_memory_bytes: int | None = None,
    ledger: tuple[record.Span, ...] = (),
    watch: tuple[record.Window, ...] = (),
    environment: dict[str, str] | None = None,
    pytest_benchmark: dict[str, Any] | None = None,
    beside: str | None = None,
    cold: bool | None = None,
) -> Cell:
    return Cell(
        schema=record.SCHEMA,
        id=planned.id,
        workload=planned.workload,
        arm=planned.arm,
        device=planned.device,
        block=planned.block,
        digest=prepared.digest,
        data_identity=prepared.data_identity,
        seed=launch.seed if planned.seed is None else planned.seed,
        status=status,
        reason=reason,
        output_tail=output_tail,
        parity=parity,
        started=started,
        wall_s=wall_s,
        curve=curve,
        peak_memory_bytes=observed.peak_memory_bytes if observed else peak_memory_bytes,
        device_peak_memory_bytes=observed.device_peak_memory_bytes if observed else None,
        versions=observed.versions if observed else {},
        environment=environment or {},
        threads=launch.threads_on(prepared.devices),
        pytest_benchmark=pytest_benchmark or {},
        label=planned.label,
        ledger=ledger,
        watch=watch,
        device_process_peak_memory_bytes=observed.device_process_peak_memory_bytes if observed else None,
        energy=observed.energy if observed else (),
        beside=beside,
        tested=observed.tested if observed else None,
        resumed=observed.resumed if observed else (),
        diverged=observed is not None and observed.diverged,
        kernels=observed.kernels if observed is not None else None,
        starts=observed.starts if observed else (),
        machine=launch.machine,
        cold=cold,
    )
