"""Pure functions on floats: the few statistics every report is made of.

Definitions, used everywhere in the suite:
- a percentile interpolates linearly between the two closest ranks (Hyndman and Fan 1996, type 7: NumPy's "linear");
- the figure of a block is the median of its counted rounds, the figure of an arm the median of its blocks' figures, so
  that a block with many rounds weighs no more than one with few;
- a spread is the smallest and the largest block. It is not an interval and carries no probability;
- the warm-up ends at the last change-point in the first half of the rounds. To look for its end as a change of level,
  instead of assuming it, is taken from Barrett et al. 2017, "Virtual machine warmup blows hot and cold". Levels are
  medians of log times and costs absolute deviations from them (Bardet and Dion 2019, "Robust semi-parametric multiple
  change-points detection"), because under squares one disturbed round passes for a level.
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

FEWEST = 3
"""So many rounds are left after a warm-up."""
LASTING = 5
FEW = 8
"""Of fewer rounds the scatter is hardly known: then only a change by `TWICE` is none of it."""
TWICE = math.log(2)
CHANGE = 10.0
"""A change-point saves so many times the scatter. Of sequences without one, normal or heavy-tailed, 1 to 2 in 100 are
cut at 35 rounds, 7 in 100 at 8 rounds; where one round in thirty is disturbed 4 to 5, most of them by their first."""
QUIET = 0.001
"""Scatter is taken for no less, in log time: below lie the clock and shifts that move no figure."""
UNSETTLED = math.log(1.05)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` (0 to 100) of `values` lie, interpolated; ValueError for no values."""
    if not values:
        raise ValueError("percentile of no values")
    if not 0 <= percent <= 100:
        raise ValueError(f"percent is {percent!r}; expected 0 to 100")
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones; ValueError for no values."""
    return percentile(values, 50)


@dataclass(frozen=True)
class Spread:
    """Median of block medians with the smallest and the largest block, in the unit of the values."""

    median: float
    low: float
    high: float
    blocks: int


def spread(block_medians: Iterable[float]) -> Spread | None:
    """The spread of one figure per block; None for no blocks."""
    figures = list(block_medians)
    return Spread(median(figures), min(figures), max(figures), len(figures)) if figures else None


def over_blocks(blocks: Mapping[int, Sequence[float]]) -> Spread | None:
    """Median of block medians from the counted rounds of every block; blocks without rounds do not count."""
    return spread(median(rounds) for rounds in blocks.values() if rounds)


def warmup_end(rounds_s: Sequence[float]) -> int:
    """So many rounds, from the first, belong to the warm-up: at most half of them, and at least `FEWEST` stay.

    Of fewer than `FEW` rounds only a level twice as high is a warm-up. Rounds that took no positive time have none.
    """
    return _changes(rounds_s, min(len(rounds_s) // 2, len(rounds_s) - FEWEST))[-1]


def settled(rounds_s: Sequence[float]) -> bool:
    """Whether the rounds keep one level after their first half: no change-point there shifts it by more than 5 %.

    The last level must last `LASTING` rounds and a tenth of them, and so many stand for a level at least: a few
    disturbed rounds are none.
    """
    count = len(rounds_s)
    places = [*_changes(rounds_s, count - max(LASTING, count // 10)), count]
    for begin, change, end in zip(places, places[1:], places[2:], strict=False):
        before = rounds_s[max(0, min(begin, change - LASTING)) : change]
        after = rounds_s[change : max(end, change + LASTING)]
        if change > count // 2 and abs(math.log(median(before) / median(after))) > UNSETTLED:
            return False
    return True


def _changes(rounds_s: Sequence[float], last: int) -> list[int]:
    """0, and the change-points up to `last` in order: each is looked for in the rounds after the one before.

    The split that explains these best is a change-point when it saves `CHANGE` times the scatter of those behind it.
    To look again at what remains follows a decay down over its levels.
    """
    found = [0]
    if not all(0 < seconds < math.inf for seconds in rounds_s):
        return found
    logs = [math.log(seconds) for seconds in rounds_s]
    least = TWICE if len(logs) < FEW else 0.0
    after = _deviations(logs[::-1])[::-1]  # of the rounds from each one on
    while (begin := found[-1]) < last:
        before = _deviations(logs[begin:last])
        saved, split = max((after[begin] - before[k] - after[begin + k], begin + k) for k in range(1, len(before)))
        if saved <= max(CHANGE * _scatter(logs[split:]), least):
            break
        found.append(split)
    return found


def _deviations(values: Sequence[float]) -> list[float]:
    """Of the first 0, 1, 2, ... values: the sum of their distances from their median.

    A value adds its distance from the medians of those before it, which are an interval where their number is even.
    """
    ordered = list(values[:1])
    sums = [0.0] * (1 + len(ordered))
    for count, value in enumerate(values[1:], 1):
        sums.append(sums[-1] + max(ordered[(count - 1) // 2] - value, value - ordered[count // 2], 0.0))
        bisect.insort(ordered, value)
    return sums


def _scatter(logs: Sequence[float]) -> float:
    """Median absolute deviation of log times, and no less than `QUIET`."""
    middle = median(logs)
    return max(median([abs(log - middle) for log in logs]), QUIET)
