"""The schedule of one run on this machine: parity first, then its cells in order, within the budget."""

import itertools
import os
import shutil
from pathlib import Path

from bench import environment, gate, launch, record, runfolder
from bench.contest import Contest
from bench.dispatch import HERE, Dispatch
from bench.display import announce
from bench.execution import Execution, Setting
from bench.gate import Check
from bench.implementation import launched
from bench.interpreters import interpreter
from bench.launch import Launch, Order
from bench.record import CEILING, Cell, Parity, PlannedCell


def run_parity(execution: Execution) -> None:
    """Holds every workload and arm of the plan against the reference, once in a run; fills `parities`."""
    contest, folder = execution.contest, execution.folder / "parity"
    # Also of pairs whose planned cells are all there: further blocks rest on them.
    planned = (cell for cell in execution.run.plan if cell in execution.part)
    pairs = [(cell.workload, cell.arm) for cell in planned if cell.workload != CEILING]
    ids = {pair: contest.parity_id(*pair) for pair in dict.fromkeys(pairs) if contest.hole(*pair) is None}
    for pair, parity_id in ids.items():
        if (folder / f"{parity_id}.json").exists():
            execution.parities[pair] = record.read(folder / f"{parity_id}.json", Parity)
    waiting = [pair for pair in ids if pair not in execution.parities]
    parallel = (
        min(
            len(waiting),
            gate.side_by_side(execution.shared.threads, environment.memory_limit_bytes(), contest.most_devices),
        )
        or 1
    )
    waiting.sort(key=lambda pair: not contest.arms[pair[1]].needs_compiler)  # the longest first: none is left for last
    setting, shared = execution.setting, execution.shared
    checks = [check(contest, shared, setting, *pair, folder / f"{ids[pair]}.json", parallel) for pair in waiting]
    took_s: list[float] = []

    def done(parity: Parity) -> None:
        execution.parities[parity.workload, parity.arm] = parity
        execution.display.parity(parity)
        took_s.append(parity.wall_s)
        announce.parity(execution, took_s, len(checks), parallel)

    if checks:
        announce.parity(execution, took_s, len(checks), parallel)
    until_s = float("inf") if execution.deadline_s is None else execution.deadline_s
    gate.run_all(checks, folder, execution.shared.work, parallel, until_s, done)
    execution.update()


def check(
    contest: Contest, shared: Launch, setting: Setting, workload: str, arm_name: str, out: Path, parallel: int
) -> Check:
    """The parity process that leaves its record at `out`, one of so many side by side."""
    work, options, arm = shared.work, contest.options, contest.arms[arm_name]
    devices = contest.workloads[workload].devices
    threads = devices * max(1, shared.threads // parallel // devices)
    settings = {"threads": str(threads), "parent": str(os.getpid())}
    command = setting.parity_command(
        interpreter(arm.framework), workload, arm.name, options.device, out.absolute(), settings
    )
    # A cache apart from the cells': the measured first step must find an empty one.
    variables, _ = shared.environment(arm, work / "parity" / arm.name, devices, threads)
    digest = contest.workloads[workload].digest()
    started = launched(command, arm, devices)
    return Check(out.stem, workload, arm.name, options.device, digest, started, variables)


def run_cells(execution: Execution) -> None:
    """Measures the missing cells in the order of the plan, then further blocks until every interval is narrow enough.

    Cells the budget cannot hold are left without a record.
    """
    dispatch, shared = Dispatch(execution), execution.shared
    while (cell := dispatch.next()) is not None:
        announce.measuring(execution, cell, dispatch.to_come(), dispatch.done)
        order = dispatch.order(cell)
        found = launch.measure(order, shared, patient=execution.patient) if isinstance(order, Order) else order
        dispatch.finished(HERE, cell, found)
        if isinstance(order, Order):
            shared.checkpoint(cell).unlink(missing_ok=True)
        announce.measured(execution, cell, dispatch.to_come())
        dispatch.drop_hopeless(cell)


def _ended_because(execution: Execution, unmeasured: int) -> str:
    """Why no further block was measured."""
    planned, profile = len(execution.run.plan), execution.shared.profile
    if unmeasured:
        return f"budget spent: {planned - unmeasured} of {planned} planned cells measured"
    if profile.blocks == profile.most_blocks:
        return "all planned cells measured"
    pairs = {(cell.workload, cell.arm) for cell in execution.run.plan if cell.workload != CEILING}
    given_up = sorted({arm for name, arm in pairs if execution.hopeless(name, arm)} - set(execution.contest.holes))
    if not execution.figures:
        return "no arm could be measured"
    if wide := execution.unsettled():
        most = max(cell.block for cell in execution.run.plan) == profile.most_blocks
        why = f"most blocks measured ({profile.most_blocks})" if most else "budget spent"
        return f"{why}: all planned cells measured, intervals still wide in {', '.join(wide)}"
    if given_up:
        return f"every interval of the arms still tried is narrow enough; given up: {', '.join(given_up)}"
    return "every interval is narrow enough"


def finish(execution: Execution) -> list[Cell]:
    """Says what the budget left out, closes the run's record, removes its working files; the records of all cells.

    A run of which only a part was to be measured stays open.
    """
    unmeasured = runfolder.missing(execution.folder, execution.run)
    if left := sum(cell not in execution.part for cell in unmeasured):
        execution.update(ended_because=f"measured what was asked for: {left} planned cells are still missing")
        return [record.read(execution.path(cell), Cell) for cell in execution.run.plan if cell not in unmeasured]
    groups = itertools.groupby(execution.run.plan, key=lambda cell: (cell.block, cell.workload))
    kept: list[PlannedCell] = []
    for (block, _), group in groups:
        cells = list(group)
        if block <= 1 or not all(cell in unmeasured for cell in cells):
            kept += cells  # else a block the budget never reached, which is not a hole in the grid
    holes = [cell for cell in kept if cell in unmeasured]
    execution.display.now("closing the run", len(kept) - len(holes), len(kept))
    for cell in holes:
        reason = "budget spent: by estimate it did not fit into what was left"
        prepared = execution.prepared[cell.workload]
        execution.write(cell, launch.unmeasured(cell, prepared, execution.shared, "hole", reason))
    execution.update(
        plan=tuple(kept),
        finished=runfolder.now(),
        ended_because=_ended_because(execution, len(unmeasured) + execution.cut_off),
    )
    shutil.rmtree(execution.shared.work, ignore_errors=True)
    return [record.read(execution.path(cell), Cell) for cell in kept]
