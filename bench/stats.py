"""Pure functions on floats: the few statistics every report is made of.

Definitions, used everywhere in the suite:
- a percentile interpolates linearly between the two closest ranks (Hyndman and Fan 1996, type 7: NumPy's "linear");
- the figure of a block is the median of its counted rounds, the figure of an arm the median of its blocks' figures, so
  that a block with many rounds weighs no more than one with few;
- a spread is the smallest and the largest block. It is not an interval and carries no probability.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


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
