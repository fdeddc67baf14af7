"""One cell from its plan to its record: a fresh process, what it handed back, or how it ended."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import cell, process, record
from bench.cell import Observed, Request
from bench.implementation import Arm, Device
from bench.interpreters import base_environment, interpreter
from bench.layers import Gate
from bench.profiles import SHORT, Profile
from bench.record import Cell, PlannedCell
from bench.runfolder import now
from bench.workload import Head

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
LEAST_LIMIT_S = 300.0
LIMIT_FACTOR = 6.0
"""A cell may take so many times its estimate, and `LEAST_LIMIT_S` at least, before it counts as hanging."""


@dataclass(frozen=True)
class Prepared:
    """What all cells of one workload share."""

    digest: str
    data_identity: str
    data: Path
    weights: Path


@dataclass(frozen=True)
class Launch:
    """What all cells of a run share."""

    profile: Profile
    work: Path
    threads: int
    seed: int
    device: Device
    head: Head | None
    gate: Gate | None
    least_limit_s: float = LEAST_LIMIT_S

    def environment(self, arm: Arm, cache: Path, threads: int | None = None) -> tuple[dict[str, str], dict[str, str]]:
        """The whole environment of an arm's process, and what in it the suite has set; makes the cache folder."""
        cache.mkdir(parents=True, exist_ok=True)
        count = str(threads or self.threads)
        chosen = dict.fromkeys(THREAD_VARIABLES, count) | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        chosen |= {name: value.format(cache=cache, threads=count) for name, value in arm.environment.items()}
        base = base_environment()
        base.pop("BENCH_DATA_DIR", None)  # data comes from the runner, nowhere else
        stated = chosen | {"PYTHONHASHSEED": base["PYTHONHASHSEED"]}
        return base | chosen, {name: value.replace(str(cache), "{cache}") for name, value in stated.items()}


def unmeasured(planned: PlannedCell, prepared: Prepared, launch: Launch, status: record.Status, reason: str) -> Cell:
    """The record of a cell that was not tried."""
    return _cell(planned, prepared, launch, status=status, reason=reason, started=now(), wall_s=0.0)


def measure(
    planned: PlannedCell,
    arm: Arm,
    prepared: Prepared,
    launch: Launch,
    parity: str,
    until_s: float | None,
    epoch_limit_s: float | None,
) -> Cell:
    """Runs the cell's process and makes its record; `until_s` of the monotonic clock ends it with the budget.

    A cell leaves epoch and validate out by itself when it finds that they take longer than `epoch_limit_s`.
    """
    out = launch.work / "cells" / planned.id
    shutil.rmtree(out, ignore_errors=True)  # of an interrupted try
    out.mkdir(parents=True)
    profile = launch.profile
    request = Request(
        workload=planned.workload,
        arm=planned.arm,
        device=launch.device,
        head=launch.head,
        gate=launch.gate,
        threads=launch.threads,
        seed=launch.seed,
        warmup_rounds=profile.warmup_rounds,
        rounds=profile.rounds,
        steps_per_round=profile.steps_per_round[planned.device],
        epoch_limit_s=epoch_limit_s,
        prepared=str(prepared.data),
        weights=str(prepared.weights),
        out=str(out),
        parent=os.getpid(),
    )
    environment, stated = launch.environment(arm, launch.work / "compiled" / arm.name)
    aside = (cell.ASIDE,) if planned.block == 1 and "train_step" in planned.phases else ()
    command = cell.command(interpreter(arm.framework), planned.phases + aside, request)
    limit_s = max(launch.least_limit_s, LIMIT_FACTOR * planned.estimate_s)
    budget_first = until_s is not None and until_s - time.monotonic() < limit_s
    if until_s is not None and budget_first:
        limit_s = max(0.0, until_s - time.monotonic())
    started = now()
    output = out / "output.log"
    ended = process.run(command, environment=environment, folder=out, output=output, limit_s=limit_s)
    status, reason, observed, measured = _judge(planned, ended, out, limit_s, budget_first)
    return _cell(
        planned,
        prepared,
        launch,
        status=status,
        reason=reason,
        started=started,
        wall_s=ended.wall_s,
        output_tail="" if status == "ok" else process.tail(output),
        parity=parity,
        curve=cell.curve(out),
        observed=observed,
        environment=stated,
        pytest_benchmark=measured,
    )


def _judge(
    planned: PlannedCell, ended: process.Ended, out: Path, limit_s: float, budget_first: bool
) -> tuple[record.Status, str | None, Observed | None, dict[str, Any]]:
    """Status and reason of a cell whose process has ended, and what it handed back."""
    observed, measured = cell.observed(out), cell.measured(out)
    phase_file = out / cell.PHASE_FILE
    where = f"during {phase_file.read_text()}" if phase_file.exists() else "before its first phase"
    if ended.killed and budget_first:
        return "hole", f"budget spent {where}, after {ended.wall_s:.0f} s", observed, measured
    if ended.killed:
        return "failed", f"timed out {where}: not done after {limit_s:.0f} s", observed, measured
    name = process.signal_name(ended.returncode)
    if name is not None:
        hint = " (most often the kernel, out of memory)" if name == "SIGKILL" else ""
        return "failed", f"killed by {name}{hint} {where}", observed, measured
    done = {entry["extra_info"].get("phase") for entry in measured.get("benchmarks", ())}
    if ended.returncode == 0 and observed is not None and observed.failure is None:
        wanted = planned.phases if observed.skipped is None else SHORT
        if done - {cell.ASIDE} == set(wanted):
            return "ok", None, observed, measured
    if observed is not None and observed.failure is not None:
        return "failed", observed.failure, observed, measured
    how = f"ended with exit code {ended.returncode} {where}: {process.last_word(out / 'output.log')}"
    return "failed", how, observed, measured


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
    environment: dict[str, str] | None = None,
    pytest_benchmark: dict[str, Any] | None = None,
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
        seed=launch.seed,
        status=status,
        reason=reason,
        output_tail=output_tail,
        parity=parity,
        started=started,
        wall_s=wall_s,
        curve=curve,
        peak_memory_bytes=observed.peak_memory_bytes if observed else None,
        device_peak_memory_bytes=observed.device_peak_memory_bytes if observed else None,
        versions=observed.versions if observed else {},
        environment=environment or {},
        threads=launch.threads,
        pytest_benchmark=pytest_benchmark or {},
    )
