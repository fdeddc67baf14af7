"""Two runs side by side: what differs between them, every contestant's step and epoch time, every ratio between arms.

A time is compared across the runs, unpaired: its interval knows the scatter within each run and nothing of what
changed in between, so that a machine that has become warmer shifts it and both runs are right. A ratio between two arms
of one run is paired, block by block, and what hits both arms alike is not in it: that is what must come out again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import derived, effects
from bench.compare.differences import Difference, differences
from bench.compare.gaps import Gap, gaps
from bench.effects import Effect, Verdict
from bench.ranking import ranked
from bench.record import CEILING, CONTROL, Cell, Run, contestant, tuned

Figures = dict[tuple[str, str], dict[int, float]]
"""Workload and contestant → block → step time, or epoch time."""
EPOCH = "epoch"


@dataclass(frozen=True)
class Shift:
    """A contestant's step time, or epoch time, in both runs."""

    workload: str
    contestant: str
    phase: str
    """`epoch`: it is of an epoch; else of a step, measured in that phase."""
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
class Lost:
    """A time that run A has and run B has not."""

    workload: str
    contestant: str
    phase: str


@dataclass(frozen=True)
class Comparison:
    """Run B against run A."""

    a: Run
    b: Run
    phase: str
    """Where the step times come from: `train_step`, or `converge` where a run has no other."""
    differences: tuple[Difference, ...]
    shifts: tuple[Shift, ...]
    """Of steps, then of epochs where both runs have them."""
    lost: tuple[Lost, ...]
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
    stepping = not any(_only_trains(cells) for cells in (a_cells, b_cells))
    phase = "train_step" if stepping else "converge"
    one, other = figures(a_cells, phase), figures(b_cells, phase)
    steps, other_steps = (epoch_steps(cells) if stepping else {} for cells in (a_cells, b_cells))
    alike = [name for name in steps if other_steps.get(name, steps[name]) == steps[name]]
    epochs, other_epochs = _epoch_times(a_cells, alike), _epoch_times(b_cells, alike)
    return Comparison(
        a,
        b,
        phase,
        (*differences(a, b), *_epoch_lengths(steps, other_steps)),
        shifts=(*_shifts(one, other, phase, a.margin), *_shifts(epochs, other_epochs, EPOCH, a.margin)),
        lost=(*_lost(one, other, phase), *_lost(epochs, other_epochs, EPOCH)),
        pairs=tuple(_pairs(a, one, other)),
        gaps=tuple(gaps(a, a_cells, b, b_cells)),
    )


def _only_trains(cells: Sequence[Cell]) -> bool:
    """Whether the run has whole trainings and nothing else: a run without any figure takes none from the other."""
    return not figures(cells) and bool(figures(cells, "converge"))


def figures(cells: Sequence[Cell], phase: str = "train_step") -> Figures:
    """Step time of every contestant in every block: the median of its counted rounds."""
    found: Figures = {}
    for cell in cells:
        step_s = derived.step_s(cell, phase) if cell.workload != CEILING else None
        if step_s is not None:
            found.setdefault((cell.workload, cell.contestant), {})[cell.block] = step_s
    return found


def epoch_steps(cells: Sequence[Cell]) -> dict[str, list[int]]:
    """Steps of the measured epochs of every workload that has some, each number once: one, unless epochs were cut."""
    found: dict[str, set[int]] = {}
    for cell in cells:
        epoch = derived.phases(cell).get(EPOCH) if cell.status == "ok" else None
        if epoch is not None:
            found.setdefault(cell.workload, set()).add(epoch.steps_per_round)
    return {workload: sorted(steps) for workload, steps in found.items()}


def _epoch_times(cells: Sequence[Cell], workloads: Sequence[str]) -> Figures:
    chosen = [cell for cell in cells if cell.workload in workloads]
    steps = epoch_steps(chosen)
    return {
        (workload, name): {block: step_s * max(steps[workload]) for block, step_s in blocks.items()}
        for (workload, name), blocks in figures(chosen, EPOCH).items()
    }


def _epoch_lengths(a: Mapping[str, list[int]], b: Mapping[str, list[int]]) -> Iterator[Difference]:
    """Epochs of other lengths: they have other times for that alone, and are left out."""
    for workload in a:
        if workload in b and a[workload] != b[workload]:
            one, other = (" and ".join(map(str, steps)) for steps in (a[workload], b[workload]))
            yield Difference("steps of a measured epoch", one, other, prevents=False, workload=workload)


def fastest(run: Run, found: Figures, workload: str, arms: Sequence[str]) -> str | None:
    """The first of a run's arms as `bench.ranking` has it; None where none has a figure."""
    mine = {arm: found[workload, arm] for arm in arms if (workload, arm) in found}
    return next(iter(ranked(mine, tuned(run))), None)


def _shifts(one: Figures, other: Figures, phase: str, margin: float) -> Iterator[Shift]:
    for workload, name in one:
        a, b = one[workload, name], other.get((workload, name), {})
        ratio = effects.unpaired(b, a)
        if ratio is not None:
            yield Shift(workload, name, phase, _time(a), _time(b), ratio, effects.verdict(ratio, margin))


def _lost(one: Figures, other: Figures, phase: str) -> Iterator[Lost]:
    return (Lost(workload, name, phase) for workload, name in one if (workload, name) not in other)


def _time(blocks: dict[int, float]) -> Effect:
    """Against a second in every block: its geometric mean in seconds."""
    found = effects.effect(blocks, dict.fromkeys(blocks, 1.0))
    assert found is not None, "a contestant without a figure is not in the table"
    return found


def _pairs(a: Run, one: Figures, other: Figures) -> Iterator[Pair]:
    for workload in a.workloads:
        both_have = [arm for arm in a.arms if (workload, arm) in other]
        first = fastest(a, one, workload, both_have) or fastest(a, one, workload, list(a.arms))
        named = [(arm, first) for arm in a.arms if first not in (None, arm)]
        named += [(contestant(a.control, CONTROL), a.control)] if a.control else []
        for name, against in named:
            assert against is not None
            both = [effects.effect(run.get((workload, name), {}), run.get((workload, against), {}))
                    for run in (one, other)]  # fmt: skip
            if any(both):
                yield Pair(workload, name, against, *both)
