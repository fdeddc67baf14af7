"""The schedule of one run: parity first, then its cells in order, within the budget."""

import itertools
import os
import shutil
import time
from pathlib import Path

from bench import derived, environment, gate, launch, plan, record, runfolder
from bench.derived import STRIKES
from bench.display import announce
from bench.execution import Execution
from bench.gate import Check
from bench.interpreters import interpreter
from bench.judgement import dead_start
from bench.profiles import STARTS_TRAINED
from bench.record import CEILING, STARTS, Cell, Parity, PlannedCell

SLACK = 2.0
"""A cell's epoch may take so many times its estimated share of the time that is left for epochs."""


def run_parity(execution: Execution) -> None:
    """Holds every workload and arm of the plan against the reference, once in a run; fills `parities`."""
    contest, folder = execution.contest, execution.folder / "parity"
    # Also of pairs whose planned cells are all there: further blocks rest on them.
    planned = (cell for cell in execution.run.plan if cell in execution.part)
    pairs = [(cell.workload, cell.arm) for cell in planned if cell.workload != CEILING]
    ids = {pair: contest.parity_id(*pair) for pair in dict.fromkeys(pairs) if pair[1] not in contest.holes}
    for pair, parity_id in ids.items():
        if (folder / f"{parity_id}.json").exists():
            execution.parities[pair] = record.read(folder / f"{parity_id}.json", Parity)
    waiting = [pair for pair in ids if pair not in execution.parities]
    parallel = min(len(waiting), gate.side_by_side(execution.shared.threads, environment.memory_limit_bytes())) or 1
    waiting.sort(key=lambda pair: not contest.arms[pair[1]].needs_compiler)  # the longest first: none is left for last
    checks = [_check(execution, workload, arm, ids[workload, arm], parallel) for workload, arm in waiting]
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


def _check(execution: Execution, workload: str, arm_name: str, parity_id: str, parallel: int) -> Check:
    contest, work = execution.contest, execution.shared.work
    options, arm = contest.options, contest.arms[arm_name]
    threads = max(1, execution.shared.threads // parallel)
    settings = {"threads": str(threads), "parent": str(os.getpid())}
    out = execution.folder / "parity" / f"{parity_id}.json"
    command = execution.setting.parity_command(
        interpreter(arm.framework), workload, arm.name, options.device, out.absolute(), settings
    )
    # A cache apart from the cells': the measured first step must find an empty one.
    variables, _ = execution.shared.environment(arm, work / "parity" / arm.name, threads)
    digest = contest.workloads[workload].digest()
    return Check(parity_id, workload, arm.name, options.device, digest, command, variables)


def run_cells(execution: Execution) -> None:
    """Measures the missing cells in the order of the plan, then further blocks until every interval is narrow enough.

    Cells the budget cannot hold are left without a record.
    """
    for cell in execution.run.plan:
        if (path := _path(execution, cell)).exists():
            found = record.read(path, Cell)
            execution.add(cell, found)
            execution.display.earlier(found)
            _plan_chosen(execution, cell)
    missing = runfolder.missing(execution.folder, execution.run)
    waiting, done = [cell for cell in missing if cell in execution.part], len(execution.run.plan) - len(missing)
    while waiting := _affordable(execution, waiting) or _further_blocks(execution):
        cell = waiting.pop(0)
        announce.measuring(execution, cell, waiting, done)
        _run_cell(execution, cell, waiting)
        waiting += [added for added in _plan_chosen(execution, cell) if added in execution.part]
        done += _path(execution, cell).exists()
        announce.measured(execution, cell, waiting)
        waiting = _without_hopeless(execution, cell, waiting)


def _path(execution: Execution, cell: PlannedCell) -> Path:
    return execution.folder / "cells" / f"{cell.id}.json"


def _plan_chosen(execution: Execution, cell: PlannedCell) -> list[PlannedCell]:
    """Plans to train the seeds that a study of dead starts singles out, if `cell` is a measured one; what is new."""
    if STARTS not in cell.phases or not (path := _path(execution, cell)).exists():
        return []
    wanted = dead_start.to_train(record.read(path, Cell).starts, *STARTS_TRAINED)
    seeds = [seed for each in wanted.values() for seed in each]
    added = plan.chosen(execution.contest, cell, seeds, execution.run.plan, execution.estimator)
    if added:
        execution.update(plan=(*execution.run.plan, *added))
        named = ", ".join(f"{state}: {' '.join(map(str, each)) or 'none'}" for state, each in wanted.items())
        execution.note(f"{cell.workload}: seeds chosen to be trained by {cell.arm}, {named}")
    return added


def _further_blocks(execution: Execution) -> list[PlannedCell]:
    """The next block of every workload whose intervals are still wide, as far as the budget holds it; now planned."""
    profile = execution.shared.profile
    number = 1 + max((cell.block for cell in execution.run.plan), default=0)
    if not profile.blocks < number <= profile.most_blocks:
        return []
    # An earlier block of these did not fit; a later one will not either.
    dropped = {cell.workload for cell in runfolder.missing(execution.folder, execution.run)}
    cells = [
        cell
        for name in execution.unsettled()
        if name not in dropped
        for cell in plan.block(execution.contest, profile, name, number, execution.estimator)
        if not execution.hopeless(name, cell.arm)
    ]
    if cells := plan.affordable(cells, execution.run.plan, execution.left_s, execution.estimator):
        execution.update(plan=(*execution.run.plan, *cells))
    return cells


def _affordable(execution: Execution, waiting: list[PlannedCell]) -> list[PlannedCell]:
    """What is left to measure once the next block is one that fits, with or without its epochs."""
    if waiting:
        _shorten_block(execution, waiting)
    return plan.affordable(waiting, execution.run.plan, execution.left_s, execution.estimator)


def _shorten_block(execution: Execution, waiting: list[PlannedCell]) -> None:
    """Leaves epoch and validate out of the rest of a block that would not fit into the budget with them."""
    block = [cell for cell in waiting if cell.block == waiting[0].block and cell.arm not in execution.contest.holes]
    if execution.deadline_s is None or not any("epoch" in cell.phases for cell in block):
        return
    if time.monotonic() >= execution.deadline_s:  # nothing of it will be started
        return
    needed_s = sum(map(execution.estimator.wall_s, block))
    left_s = execution.deadline_s - time.monotonic() - _reserved_s(execution, block[0].block)
    if needed_s <= left_s:
        return
    for index, cell in enumerate(waiting):
        waiting[index] = plan.shortened(cell, execution.estimator) if cell in block else cell
    by_id = {cell.id: cell for cell in waiting}
    execution.update(plan=tuple(by_id.get(cell.id, cell) for cell in execution.run.plan))
    execution.note(
        f"block {block[0].block}: epoch and validate are left out of its last {len(block)} cells, estimated at "
        f"{needed_s:.0f} s with them, {max(0.0, left_s):.0f} s of the budget are left for it"
    )


def _without_hopeless(execution: Execution, cell: PlannedCell, waiting: list[PlannedCell]) -> list[PlannedCell]:
    """What is still to be measured when `cell` was the last chance its arm had on its workload."""
    pair = cell.workload, cell.arm
    later = [other for other in waiting if (other.workload, other.arm) == pair]
    if not later or not execution.hopeless(*pair):
        return waiting
    execution.update(plan=tuple(other for other in execution.run.plan if other not in later))
    why = "it fails parity" if execution.refused(*pair) else f"{STRIKES} of its cells failed in a row"
    execution.note(f"{cell.arm} is not tried on {cell.workload} after block {cell.block}: {why}")
    return [other for other in waiting if other not in later]


def _epoch_limit_s(execution: Execution, cell: PlannedCell, waiting: list[PlannedCell]) -> float | None:
    """Seconds the cell may spend on epoch and validate so that the rest of its block can have its share too."""
    if execution.deadline_s is None or "epoch" not in cell.phases:
        return None
    wall_s = execution.estimator.wall_s
    block = [other for other in waiting if other.block == cell.block and other.arm not in execution.contest.holes]
    short_s = {other.id: wall_s(plan.shortened(other, execution.estimator)) for other in (cell, *block)}
    long_s = {other.id: max(0.0, wall_s(other) - short_s[other.id]) for other in (cell, *block)}
    reserved_s = sum(short_s.values()) + _reserved_s(execution, cell.block)
    left_s = max(0.0, execution.deadline_s - time.monotonic() - reserved_s)
    total_s = sum(long_s.values())
    share = long_s[cell.id] / total_s if total_s else 1.0
    return left_s * min(1.0, SLACK * share)


def _reserved_s(execution: Execution, number: int) -> float:
    """What the epochs of block `number` leave for step times.

    Those of block 1 leave room for the second block, without which there is no interval; later ones for every planned
    block, since each makes the intervals narrower.
    """
    last = 2 if number == 1 else max(cell.block for cell in execution.run.plan)
    later = [cell for cell in execution.run.plan if number < cell.block <= last]
    return sum(execution.estimator.wall_s(plan.shortened(cell, execution.estimator)) for cell in later)


def _run_cell(execution: Execution, cell: PlannedCell, waiting: list[PlannedCell]) -> None:
    """Measures one cell, or records why not, or leaves it for `finish` when the budget cannot hold it."""
    contest, shared = execution.contest, execution.shared
    prepared, pair = execution.prepared[cell.workload], (cell.workload, cell.arm)
    if cell.arm in contest.holes:
        execution.write(cell, launch.unmeasured(cell, prepared, shared, "hole", contest.holes[cell.arm]))
        return
    parity = execution.parities.get(pair)
    if parity is not None and not parity.passed:
        reason = f"refused to time an arm that fails parity: {parity.reason}"
        execution.write(cell, launch.unmeasured(cell, prepared, shared, "failed", reason))
        return
    current = plan.with_estimate(cell, execution.estimator)
    late = execution.deadline_s is not None and time.monotonic() + current.estimate_s > execution.deadline_s
    if late or (parity is None and cell.workload != CEILING):
        return
    arm = contest.arms[cell.arm]
    limit_s = _epoch_limit_s(execution, cell, waiting)
    parity_id = parity.id if parity is not None else None
    order = launch.Order(current, arm, prepared, parity_id, execution.last_s, limit_s)
    found = launch.measure(order, shared, patient=execution.patient)
    if found.status == "ok" and "epoch" in cell.phases and "epoch" not in derived.phases(found):
        cell = plan.shortened(cell, execution.estimator)
        execution.update(plan=tuple(cell if cell.id == other.id else other for other in execution.run.plan))
        execution.note(f"{cell.id}: epoch and validate are left out, its measured step time says they do not fit")
    execution.write(cell, found)
    shared.checkpoint(cell).unlink(missing_ok=True)


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
        return [record.read(_path(execution, cell), Cell) for cell in execution.run.plan if cell not in unmeasured]
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
    return [record.read(execution.folder / "cells" / f"{cell.id}.json", Cell) for cell in kept]
