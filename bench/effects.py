"""Paired effects: the ratio of two contestants' times with its interval, a verdict, and when blocks are enough.

**Interval.** In each block the drift, the heat and the load of the machine hit both contestants alike, so the block's
ratio is one observation. Logs of ratios are averaged and given Student's t interval, the same whichever of the two is
named first. It holds with two blocks, where a percentile bootstrap reaches from the smaller to the larger and covers
half. A cell disturbed as a whole makes it wide, not wrong: both contestants are hit equally often.

**Stopping.** Blocks go on until the interval is narrow, looked at after every block from the sixth on. That stops more
readily where the scatter happens to look small, and 95 % t intervals then cover as little as 92 %: two contestants,
true ratio 1.03, scatter that asks for some 20 blocks. Every sequential interval of fixed width loses so (Anscombe 1953,
Chow and Robbins 1965, Starr 1966). Of the cures, simulated under normal noise and under noise with disturbed cells:
- Stein's two stages (1945) are exact under normal noise; one disturbed cell in a hundred, after the first six blocks
  that set the width, takes the coverage to 81 %;
- to look at 6, 9, 14, 20, ... blocks only, to wait for a second narrow interval, to test the width with an upper bound
  of the scatter: each returns 0 to 2 points for a tenth to a half more blocks;
- a higher level returns 2 points for a sixth more blocks.
So the rule stays plain and the level pays: from six blocks on intervals are computed at 96.5 %, the lowest level, in
steps of 0.5 %, that covers 94 % at worst. Fewer than six blocks never come of such a decision; they are taken at 95 %.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

Verdict = Literal["SAME", "FASTER", "SLOWER", "UNRESOLVED"]

MARGIN = 0.02
"""Two times count as the same when their ratio is proved to lie within 1 ± this."""
CONFIDENCE = 0.95
"""What an interval promises, however its number of blocks came about."""
STOPPED_CONFIDENCE = 0.965
"""Level at which it is computed from `FIRST_LOOK` blocks on, to keep that promise."""
FIRST_LOOK = 6
"""With fewer blocks nothing is decided about further ones."""
POWER = 0.8


@dataclass(frozen=True)
class Effect:
    """Time of A over time of B with its 95 % interval; below 1: A is faster."""

    ratio: float
    """Geometric mean of the blocks' ratios."""
    low: float
    high: float
    blocks: int
    detectable: float | None
    """Smallest true ratio minus 1 that so many blocks of so much scatter show as different from 1 with a probability
    of 80 %; None with one block, of which nothing is known."""


def effect(a: Mapping[int, float], b: Mapping[int, float]) -> Effect | None:
    """A against B from their figures by block, over the blocks that both have; None without one.

    One block has no interval: it reaches from 0 to infinity. ValueError for a figure that is no positive time.
    """
    logs = [_log(a, block) - _log(b, block) for block in a.keys() & b.keys()]
    if not logs:
        return None
    mean, error = _mean(logs)
    return _effect(mean, error, len(logs) - 1, len(logs))


def unpaired(a: Mapping[int, float], b: Mapping[int, float]) -> Effect | None:
    """A against B where no block of the one belongs to one of the other, as of two runs; None where one has no figure.

    The ratio of the geometric means with the interval of Welch (1947) and Satterthwaite (1946) on logs: the scatters of
    the two need not be equal. It knows the scatter within each, and nothing of what changed between them. `blocks` are
    those of the shorter; where it has one, there is no interval. ValueError for a figure that is no positive time.
    """
    logs = [[_log(figures, block) for block in figures] for figures in (a, b)]
    fewest = min(map(len, logs))
    if not fewest:
        return None
    (mean_a, error_a), (mean_b, error_b) = map(_mean, logs)
    if fewest == 1:
        return _effect(mean_a - mean_b, math.inf, 0, 1)
    error = math.hypot(error_a, error_b)
    share = (error_a / error) ** 2 if error else 0.5
    # Of two blocks with the larger scatter against six, Welch's degrees of freedom would cover 90 %; one never fails.
    degrees = 1.0 if fewest == 2 else 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
    return _effect(mean_a - mean_b, error, degrees, fewest, most=max(map(len, logs)))


def verdict(found: Effect, margin: float = MARGIN) -> Verdict:
    """SAME: the interval lies inside the margin; FASTER, SLOWER: it does not, and excludes 1; else UNRESOLVED.

    The margin reaches as far down as up in logs, from 1 / (1 + margin) to 1 + margin, so that A is the same as B
    exactly when B is the same as A.
    """
    if 1 / (1 + margin) <= found.low and found.high <= 1 + margin:
        return "SAME"
    if found.high < 1:
        return "FASTER"
    return "SLOWER" if found.low > 1 else "UNRESOLVED"


def narrow(found: Effect, margin: float = MARGIN) -> bool:
    """Whether more blocks are not worth measuring; never before `FIRST_LOOK` blocks.

    In logs, half the interval is at most half the margin, so that two equal contestants are proved to be so, or at
    most a quarter of the effect: a ratio of 2 need not be known to 1 %.
    """
    if found.blocks < FIRST_LOOK or found.low <= 0 or math.isinf(found.high):
        return False
    half = (math.log(found.high) - math.log(found.low)) / 2
    return half <= max(math.log1p(margin) / 2, abs(math.log(found.ratio)) / 4)


def enough(figures: Mapping[str, Mapping[int, float]], margin: float = MARGIN) -> bool:
    """Whether every pair of contestants is narrow, from figures by block; without common blocks it is no pair."""
    found = (effect(figures[a], figures[b]) for a, b in pairs(figures))
    return all(narrow(each, margin) for each in found if each is not None)


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Every pair of names once, in the order of the names."""
    return list(itertools.combinations(names, 2))


def _log(figures: Mapping[int, float], block: int) -> float:
    if not 0 < figures[block] < math.inf:
        raise ValueError(f"the figure of block {block} is {figures[block]!r}; expected a positive time")
    return math.log(figures[block])


def _exp(log: float) -> float:
    """Infinite instead of an OverflowError: two blocks of large scatter reach that far."""
    return math.exp(log) if log < 700 else math.inf


def _mean(logs: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; of one value the error is infinite."""
    mean = math.fsum(logs) / len(logs)
    if len(logs) == 1:
        return mean, math.inf
    return mean, math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (len(logs) - 1) / len(logs))


def _effect(mean: float, error: float, degrees: float, blocks: int, most: int = 0) -> Effect:
    """From the mean log and its standard error; `most` are the blocks of the longer run, where there are two."""
    if blocks == 1:
        return Effect(_exp(mean), 0.0, math.inf, 1, None)
    level = CONFIDENCE if max(blocks, most) < FIRST_LOOK else STOPPED_CONFIDENCE
    half, distance = _quantile(degrees, level) * error, _distance(degrees, level) * error
    return Effect(_exp(mean), _exp(mean - half), _exp(mean + half), blocks, _exp(distance) - 1)


@functools.lru_cache(maxsize=1024)
def _quantile(degrees: float, level: float) -> float:
    """Half an interval in standard errors: Student's t."""
    return float(special.stdtrit(degrees, (1 + level) / 2))


@functools.lru_cache(maxsize=1024)
def _distance(degrees: float, level: float) -> float:
    """How many standard errors off 1 a true ratio must lie to be seen with `POWER`: noncentrality of Student's t."""
    return float(special.nctdtrinc(degrees, 1 - POWER, _quantile(degrees, level)))
