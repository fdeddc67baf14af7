"""What a run under way tells its display of what is done now: how much there is of it and how long it will take."""

from collections.abc import Sequence

from bench import effects, runfolder
from bench.display.live import Left
from bench.execution import Execution
from bench.record import PlannedCell


def parity(execution: Execution, took_s: Sequence[float], count: int, parallel: int) -> None:
    """Of `count` parity processes, `parallel` of them at a time, those are done that took so many seconds each."""
    mean_s = sum(took_s) / len(took_s) if took_s else execution.setting.assumptions.parity_s
    first_s = -(-(count - len(took_s)) // parallel) * mean_s
    missing, total = runfolder.missing(execution.folder, execution.run), len(execution.run.plan)
    what = f"parity, {len(took_s)} of {count} done"
    execution.display.now(what, total - len(missing), total, left(execution, missing, first_s))


def measuring(execution: Execution, cell: PlannedCell, waiting: Sequence[PlannedCell], done: int) -> None:
    """The cell is being measured, the others follow."""
    planned = execution.run.plan
    blocks = max(other.block for other in planned if other.workload == cell.workload)
    where = f"block {cell.block} of {blocks}" if cell.block else "beside the blocks"
    if "converge" in cell.phases:
        where = "its whole schedule"
    now = left(execution, (cell, *waiting))
    execution.display.measuring(cell, where, done, len(planned), now, lambda: left(execution, waiting))


def measured(execution: Execution, cell: PlannedCell, waiting: Sequence[PlannedCell]) -> None:
    """The cell is done; the running estimate is told once its block is."""
    if any((other.workload, other.block) == (cell.workload, cell.block) for other in waiting):
        return
    execution.display.estimate(cell.workload, "so far" if "converge" in cell.phases else f"after block {cell.block}")


def left(execution: Execution, cells: Sequence[PlannedCell], first_s: float = 0.0) -> Left:
    """How long the cells take after what comes first, and how long with all further blocks that may follow."""
    planned, profile = execution.run.plan, execution.shared.profile
    least_s = most_s = first_s + _wall_s(execution, cells)
    last = max((cell.block for cell in planned), default=0)
    if last < profile.most_blocks and (last < effects.FIRST_LOOK or execution.unsettled()):
        newest = [cell for cell in planned if cell.block == last]
        most_s += (profile.most_blocks - last) * _wall_s(execution, newest)
    budget_s = float("inf") if execution.left_s is None else max(0.0, execution.left_s)
    return Left(min(least_s, budget_s), min(most_s, budget_s))


def _wall_s(execution: Execution, cells: Sequence[PlannedCell]) -> float:
    return sum(execution.estimator.wall_s(cell) for cell in cells if execution.contest.can(cell))
