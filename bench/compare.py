"""Two runs side by side: what differs between them, every contestant's step time, every ratio between arms.

A step time is compared across the runs, unpaired: its interval knows the scatter within each run and nothing of what
changed in between, so that a machine that has become warmer shifts it and both runs are right. A ratio between two arms
of one run is paired, block by block, and what hits both arms alike is not in it: that is what must come out again.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import derived, effects, stats
from bench.differences import Difference, differences
from bench.effects import Effect, Verdict
from bench.record import CEILING, CONTROL, Cell, Run, contestant

Figures = dict[tuple[str, str], dict[int, float]]
"""Workload and contestant → block → step time."""


@dataclass(frozen=True)
class Shift:
    """A contestant's step time in both runs."""

    workload: str
    contestant: str
    a: Effect
    """Seconds: the geometric mean of the blocks' medians with its interval, which one block does not have."""
    b: Effect
    ratio: Effect
    """Time in B over time in A, unpaired."""
    verdict: Verdict
    """Of B against A."""


@dataclass(frozen=True)
class Pair:
    """The time of a contestant over that of another of the same run, in both runs."""

    workload: str
    contestant: str
    against: str
    """Of the arms with figures in both runs the fastest in A; of the A/A control's second entry, its first."""
    a: Effect | None
    """None: no block holds both."""
    b: Effect | None

    @property
    def overlap(self) -> bool | None:
        """Whether the intervals have a point in common; None where one of them is missing."""
        if self.a is None or self.b is None or math.isinf(self.a.high) or math.isinf(self.b.high):
            return None
        return self.a.low <= self.b.high and self.b.low <= self.a.high


@dataclass(frozen=True)
class Gap:
    """Cells without a figure."""

    workload: str
    contestant: str
    why: str
    a: int
    """So many cells of run A."""
    b: int


@dataclass(frozen=True)
class Comparison:
    """Run B against run A."""

    a: Run
    b: Run
    phase: str
    """Where the step times come from: `train_step`, or `converge` where a run has no other."""
    differences: tuple[Difference, ...]
    shifts: tuple[Shift, ...]
    pairs: tuple[Pair, ...]
    gaps: tuple[Gap, ...]

    @property
    def prevented(self) -> tuple[Difference, ...]:
        """Why the two cannot be expected to agree."""
        return tuple(difference for difference in self.differences if difference.prevents)


def compare(a: Run, a_cells: Sequence[Cell], b: Run, b_cells: Sequence[Cell]) -> Comparison:
    """B against A from their records, judged by the margin of A. The cells are those that can be used, of any status.

    What prevents a comparison is in `differences` and changes nothing else: whoever shows the figures shows it too.
    """
    stepping = all(any(derived.step_s(cell) for cell in cells) for cells in (a_cells, b_cells))
    phase = "train_step" if stepping else "converge"
    one, other = figures(a_cells, phase), figures(b_cells, phase)
    return Comparison(
        a,
        b,
        phase,
        differences(a, b),
        shifts=tuple(_shifts(one, other, a.margin)),
        pairs=tuple(_pairs(a, one, other)),
        gaps=tuple(_gaps(a, a_cells, b, b_cells)),
    )


def figures(cells: Sequence[Cell], phase: str = "train_step") -> Figures:
    """Step time of every contestant in every block: the median of its counted rounds."""
    found: Figures = {}
    for cell in cells:
        step_s = derived.step_s(cell, phase) if cell.workload != CEILING else None
        if step_s is not None:
            found.setdefault((cell.workload, cell.contestant), {})[cell.block] = step_s
    return found


def fastest(found: Figures, workload: str, arms: Sequence[str]) -> str | None:
    """The arm whose median over blocks is the smallest; None where none has a figure."""
    middles = {arm: stats.median(list(found[workload, arm].values())) for arm in arms if (workload, arm) in found}
    return min(middles, key=lambda arm: middles[arm], default=None)


def _shifts(one: Figures, other: Figures, margin: float) -> Iterator[Shift]:
    for workload, name in one:
        a, b = one[workload, name], other.get((workload, name), {})
        ratio = effects.unpaired(b, a)
        if ratio is not None:
            yield Shift(workload, name, _time(a), _time(b), ratio, effects.verdict(ratio, margin))


def _time(blocks: dict[int, float]) -> Effect:
    """Against a second in every block: its geometric mean in seconds."""
    found = effects.effect(blocks, dict.fromkeys(blocks, 1.0))
    assert found is not None, "a contestant without a figure is not in the table"
    return found


def _pairs(a: Run, one: Figures, other: Figures) -> Iterator[Pair]:
    for workload in a.workloads:
        both_have = [arm for arm in a.arms if (workload, arm) in other]
        first = fastest(one, workload, both_have) or fastest(one, workload, list(a.arms))
        named = [(arm, first) for arm in a.arms if first not in (None, arm)]
        named += [(contestant(a.control, CONTROL), a.control)] if a.control else []
        for name, against in named:
            assert against is not None
            both = [effects.effect(run.get((workload, name), {}), run.get((workload, against), {}))
                    for run in (one, other)]  # fmt: skip
            if any(both):
                yield Pair(workload, name, against, *both)


def _gaps(a: Run, a_cells: Sequence[Cell], b: Run, b_cells: Sequence[Cell]) -> Iterator[Gap]:
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
