"""Intervals over few seeds: of a mean, of a difference of means, of a ratio, of a share.

Fewer than `FEWEST` seeds have no interval. Student's t would give one from two, which rests on nothing but the
normal distribution: of two values nobody can see whether they scatter like that. What they decide they decide because
they happen to lie close together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

FEWEST = 3
"""So many seeds have an interval."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float | None
    """None, as `high`: too few seeds for an interval."""
    high: float | None
    seeds: int
    """Of the side that has fewer."""

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    def above(self, bound: float) -> bool:
        """Whether the whole interval lies above `bound`; False where there is none."""
        return self.low is not None and self.low > bound

    def below(self, bound: float) -> bool:
        """Whether the whole interval lies below `bound`; False where there is none."""
        return self.high is not None and self.high < bound


def mean(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of one value per seed with Student's t interval; ValueError for no values.

    Assumes that seeds are independent and their values about normal. It is good with three: of values uniform
    on a segment, the interval covers 92 % with three seeds and 93 % with five.
    """
    middle, error = mean_and_error(values)
    return _estimate(middle, error, len(values) - 1, len(values), confidence)


def difference(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean of `a` minus mean of `b`, one value per seed each, seeds not paired; the interval of Welch (1947).

    Degrees of freedom after Satterthwaite (1946); the scatters of the two sides need not be equal.
    """
    (mean_a, error_a), (mean_b, error_b) = mean_and_error(a), mean_and_error(b)
    seeds = min(len(a), len(b))
    if seeds < FEWEST:
        return Estimate(mean_a - mean_b, None, None, seeds)
    error = math.hypot(error_a, error_b)
    share = (error_a / error) ** 2 if error else 0.5
    degrees = 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
    return _estimate(mean_a - mean_b, error, degrees, seeds, confidence)


def ratio(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean of `a` over that of `b`, positive values, seeds not paired: `difference` of their logs."""
    logs = difference([math.log(value) for value in a], [math.log(value) for value in b], confidence)
    low, high = (None if end is None else math.exp(min(end, 700.0)) for end in (logs.low, logs.high))
    return Estimate(math.exp(logs.value), low, high, logs.seeds)


def share(hits: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson (1934) for a share of which `hits` of `of` were seen.

    It covers at least `confidence`, whatever the true share; ValueError unless 0 <= hits <= of and of > 0.
    """
    if not 0 <= hits <= of or not of:
        raise ValueError(f"{hits} hits of {of}; expected 0 to {of} of at least 1")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return low, high


def quantile(degrees: float, level: float) -> float:
    """Student's t: the value that it stays below with probability `level`."""
    return float(special.stdtrit(degrees, level))


def half_width(scatter: float, seeds: int, confidence: float = CONFIDENCE) -> float:
    """Half the interval of a mean of `seeds` values of this scatter; at least 2 seeds."""
    return quantile(seeds - 1, (1 + confidence) / 2) * scatter / math.sqrt(seeds)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, which is infinite for one value; ValueError for no values."""
    if not values:
        raise ValueError("mean of no values")
    middle = math.fsum(values) / len(values)
    if len(values) == 1:
        return middle, math.inf
    squares = math.fsum((value - middle) ** 2 for value in values)
    return middle, math.sqrt(squares / (len(values) - 1) / len(values))


def _estimate(middle: float, error: float, degrees: float, seeds: int, confidence: float) -> Estimate:
    if seeds < FEWEST:
        return Estimate(middle, None, None, seeds)
    half = quantile(degrees, (1 + confidence) / 2) * error
    return Estimate(middle, middle - half, middle + half, seeds)
