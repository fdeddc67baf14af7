"""Convergence equivalence: do two arms that train one workload from the same seeds learn equally well?

**What is compared.** The best validation value up to the last epoch that both have trained: equal epochs are equal
numbers of samples. The best and not the last one, because a user keeps the weights of the best epoch, and because
single epochs scatter: after the fifth, neighbouring epochs of the published `conv_only` differ by 0.010 on average,
which is the margin, and the accuracy of the published `conv` by 0.016. The best of several noisy values flatters; both
arms have equally many, so that it flatters both alike. An arm whose epochs scatter more does keep better validation
values; whether those are worth anything is what the test set says.

**Pairs.** Equal seeds are equal initial weights and equal batches in equal order, so the difference of a seed's two
trainings is one observation, and what the seed does to both is not in it. Only what the arms really do differently is:
the order of float32 sums, and the dropout masks, which every framework draws by itself.

**Verdict.** Two one-sided tests (Schuirmann 1987), each at 5 %, against the margin the workload declares: read off the
90 % interval of Student's t of the mean difference.
- EQUIVALENT: it lies inside the margin. If the true difference is as large as the margin, that happens at most 1 in 20
  times.
- DIFFERENT: it lies wholly beyond the margin on one side: the difference is proved to be larger than what counts as
  equally good. An interval that excludes 0 and reaches into the margin proves no difference that counts. At a true
  difference of the margin that too happens 1 in 20 times.
- UNDERPOWERED: neither, or fewer than three pairs. With how many seeds one of the two is reached with a probability of
  80 % if the observed mean and scatter are the true ones; with few seeds these are themselves uncertain.

**Censored trainings** (diverged, failed, dead) have no value to enter the mean with, and do not vanish:
- a pair with one that diverged or failed, and a pair of which one is dead and the other not, is never EQUIVALENT,
  whatever the others say: from equal weights and equal batches an arm that learns the same shares the other's fate;
- a pair that is dead on both sides is alike, exactly, and says nothing about learning: it is counted apart;
- where only one side is censored, the fates are themselves compared by the exact sign test of McNemar (1947): six pairs
  that all go wrong on the same side, and none on the other, are DIFFERENT (p = 2/64);
- DIFFERENT by value does not stand where a pair's fate speaks for the arm that is behind by value.

Assumes seeds are a sample of all seeds, and differences about normal; the mean of a few hardly needs it.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special, stats

from bench.judgement import intervals
from bench.judgement.intervals import FEWEST, Estimate
from bench.judgement.trainings import Training, gain

Verdict = Literal["EQUIVALENT", "DIFFERENT", "UNDERPOWERED"]

LEVEL = 0.05
"""Of each of the two tests, and of the test of fates."""
POWER = 0.8
MOST = 100
"""Nobody trains more seeds than this; "more than" it is said."""


@dataclass(frozen=True)
class Equivalence:
    """Arm `a` against arm `b` on one workload and device."""

    workload: str
    device: str
    a: str
    b: str
    metric: str
    margin: float
    epoch: int | None
    """Up to which the best value was taken, where it is one for all pairs; None: no pair has a difference."""
    differences: Mapping[int, float]
    """By seed: by how much `a` is better than `b`, in the unit of the metric; of pairs without a censored training."""
    estimate: Estimate | None
    """Mean of the differences with its 90 % interval; None without any."""
    dead_alike: tuple[int, ...]
    """Seeds that are dead in both."""
    worse_fate_a: tuple[int, ...]
    """Seeds of which only the training of `a` is censored."""
    worse_fate_b: tuple[int, ...]
    barred: tuple[str, ...]
    """Why it can not be EQUIVALENT, whatever the differences: seed, cell and fate in words."""
    verdict: Verdict
    needed: int | None
    """Seeds with which an UNDERPOWERED one would probably be decided, at most `MOST` + 1, which stands for more; None:
    decided, or no scatter to tell from, or barred: then seeds are not what is missing."""


def compare(trainings: Iterable[Training], margins: Mapping[str, float]) -> tuple[Equivalence, ...]:
    """Every pair of arms with a common seed, by workload and device; `margins` by workload."""
    found: dict[tuple[str, str], dict[str, dict[int, Training]]] = {}
    for training in trainings:
        arms = found.setdefault((training.workload, training.device), {})
        arms.setdefault(training.arm, {})[training.seed] = training
    return tuple(
        judge(arms[a], arms[b], margins[workload])
        for (workload, _), arms in found.items()
        for a, b in itertools.combinations(arms, 2)
        if arms[a].keys() & arms[b].keys()
    )


def judge(a: Mapping[int, Training], b: Mapping[int, Training], margin: float) -> Equivalence:
    """One arm against another, their trainings by seed, at least one seed in common."""
    pairs = {seed: (a[seed], b[seed]) for seed in sorted(a.keys() & b.keys())}
    first_a, first_b = next(iter(pairs.values()))
    whole = {seed: pair for seed, pair in pairs.items() if not any(training.censored for training in pair)}
    epoch = min((training.epochs for pair in whole.values() for training in pair), default=None)
    differences = {
        seed: gain(x.more_is_better, x.best[epoch - 1], y.best[epoch - 1])
        for seed, (x, y) in whole.items()
        if epoch is not None
    }
    dead_alike = tuple(seed for seed, (x, y) in pairs.items() if x.fate == y.fate == "dead")
    worse_a = tuple(seed for seed, (x, y) in pairs.items() if x.censored and not y.censored)
    worse_b = tuple(seed for seed, (x, y) in pairs.items() if y.censored and not x.censored)
    barred = tuple(
        _bar(seed, *pair) for seed, pair in pairs.items() if seed not in dead_alike and seed not in differences
    )
    estimate = intervals.mean(list(differences.values()), 1 - 2 * LEVEL) if differences else None
    verdict = decide(estimate, margin, bool(barred), len(worse_a), len(worse_b))
    return Equivalence(
        workload=first_a.workload,
        device=first_a.device,
        a=first_a.arm,
        b=first_b.arm,
        metric=first_a.metric,
        margin=margin,
        epoch=epoch,
        differences=differences,
        estimate=estimate,
        dead_alike=dead_alike,
        worse_fate_a=worse_a,
        worse_fate_b=worse_b,
        barred=barred,
        verdict=verdict,
        needed=None if barred or verdict != "UNDERPOWERED" else needed(list(differences.values()), margin),
    )


def decide(estimate: Estimate | None, margin: float, barred: bool, worse_a: int, worse_b: int) -> Verdict:
    """The verdict from the interval of the difference and the numbers of pairs in which one side alone is censored."""
    if unlike_fates(worse_a, worse_b):
        return "DIFFERENT"
    if estimate is None:
        return "UNDERPOWERED"
    if estimate.above(margin) and not worse_a:
        return "DIFFERENT"
    if estimate.below(-margin) and not worse_b:
        return "DIFFERENT"
    inside = estimate.above(-margin) and estimate.below(margin)
    return "EQUIVALENT" if inside and not barred else "UNDERPOWERED"


def unlike_fates(worse_a: int, worse_b: int) -> bool:
    """Whether one arm's trainings are censored alone so much more often than the other's that it is no chance."""
    return worse_a + worse_b > 0 and float(stats.binomtest(worse_a, worse_a + worse_b).pvalue) <= LEVEL


def needed(differences: Sequence[float], margin: float) -> int | None:
    """So many seeds decide with a probability of 80 %, at most `MOST` + 1; None: of one seed no scatter is known.

    The smallest number at which `power` reaches that, at the observed mean and scatter.
    """
    if len(differences) < 2:
        return None
    middle, error = intervals.mean_and_error(differences)
    scatter = error * len(differences) ** 0.5
    return next((n for n in range(FEWEST, MOST + 1) if power(n, middle, scatter, margin) >= POWER), MOST + 1)


def power(seeds: int, middle: float, scatter: float, margin: float) -> float:
    """Probability that so many seeds decide, either way, at this true mean and scatter of the differences.

    From the noncentral t distribution. Of EQUIVALENT it is the lower bound P(one test) + P(other test) - 1, which is
    close wherever the power is worth anything.
    """
    if not scatter:
        return float(abs(middle) != margin)
    degrees, error = seeds - 1, scatter / seeds**0.5
    least = intervals.quantile(degrees, 1 - LEVEL)
    above = [1 - _below(least, degrees, (middle + bound) / error) for bound in (margin, -margin)]
    below = [_below(-least, degrees, (middle + bound) / error) for bound in (margin, -margin)]
    return max(0.0, above[0] + below[1] - 1) + above[1] + below[0]


def _below(bound: float, degrees: float, shift: float) -> float:
    """Distribution function of the noncentral t."""
    if bound < 0 and shift > 8:  # less than the normal distribution's 1e-15, of which SciPy makes NaN
        return 0.0
    return float(special.nctdtr(degrees, shift, bound))


def _bar(seed: int, x: Training, y: Training) -> str:
    which = " and ".join(f"{training.arm} {training.fate}" for training in (x, y) if training.censored)
    return f"seed {seed}: {which}"
