"""The cells of two runs that have no figure, side by side with their reasons."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.record import Cell, Run


@dataclass(frozen=True)
class Gap:
    """Cells without a figure."""

    workload: str
    contestant: str
    why: str
    a: int
    """So many cells of run A."""
    b: int


def gaps(a: Run, a_cells: Sequence[Cell], b: Run, b_cells: Sequence[Cell]) -> Iterator[Gap]:
    """The gaps of both runs, by workload, contestant and reason; what one has planned and the other has not is one."""
    counts = [Counter(_without_figure(run, cells)) for run, cells in ((a, a_cells), (b, b_cells))]
    for lacking, other, count in ((a, b, counts[0]), (b, a, counts[1])):
        known = {(cell.workload, cell.contestant) for cell in lacking.plan}
        for (workload, name), arm in {(cell.workload, cell.contestant): cell.arm for cell in other.plan}.items():
            if (workload, name) not in known:
                hole = lacking.arms[arm].hole if arm in lacking.arms else None
                count[workload, name, f"hole: {hole}" if hole else "not planned"] += 1
    for key in sorted({*counts[0], *counts[1]}):
        yield Gap(*key, counts[0][key], counts[1][key])


def _without_figure(run: Run, cells: Sequence[Cell]) -> Iterator[tuple[str, str, str]]:
    """Workload, contestant and reason of every planned cell that is not ok."""
    found = {cell.id: cell for cell in cells}
    for planned in run.plan:
        cell, hole = found.get(planned.id), run.arms[planned.arm].hole
        if cell is None:
            why = f"hole: {hole}" if hole else "planned, and no record that can be used"
        elif cell.status != "ok":
            why = f"{cell.status}: {cell.reason or 'no reason is known'}"
        else:
            continue
        yield planned.workload, planned.contestant, why
