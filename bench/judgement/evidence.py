"""One effect that a claim rests on: its interval over seeds, and what that says of the claim.

**Seeds.** The unit is the seed. Where several arms trained a workload from one seed, their values are averaged first:
they are proved to compute the same mathematics from the same weights, and five of them are not five seeds. Two
workloads are held against each other over the arms that trained both. Different models share neither weights nor, on
Jena, windows, so their seeds are not paired: Welch's interval. The validation set is taken as it is: what is judged is
whether further trainings would say the same, not further data.

**A single seed** decides nothing about quality: UNRESOLVED, as with two; see `intervals.FEWEST`. Time is another
matter. It hangs on the process and the machine, hardly on the seed: what a step computes does not change with the
numbers in it. So where there are too few trainings for an interval, a time is decided if every single epoch of the one
against every single epoch of the other lies beyond the bound, and would if one side had run on a machine slower by half
(`CLEAR`): machines drift by some per cent.

**Censored trainings** stay in. What a whole schedule would have given is not known, so the verdict must be the same
with all of them at the worst and at the best value: the worst is what they had reached (or, without an epoch, the worst
any training of the workload ended with), the best the best of any. Otherwise it is UNRESOLVED.

**Verdict.** CONFIRMED where the whole interval lies above a first bound, REFUTED where it does not and lies below a
second one: there is no effect, or none that counts. UNRESOLVED where it is neither.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.judgement import intervals
from bench.judgement.intervals import Estimate
from bench.judgement.trainings import Training, gain, of
from bench.stats import median

Verdict = Literal["CONFIRMED", "REFUTED", "UNRESOLVED", "NOT MEASURED"]
Fill = Literal["worst", "best"]

CLEAR = 1.5
OPPOSITE: Mapping[Verdict, Verdict] = {"CONFIRMED": "REFUTED", "REFUTED": "CONFIRMED"}


@dataclass(frozen=True)
class Part:
    """One effect."""

    what: str
    """In words; parts of one claim with the same words differ in the arm and must agree."""
    verdict: Verdict
    estimate: Estimate | None = None
    """None: nothing was measured."""
    kind: Literal["difference", "ratio"] = "difference"
    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    """How many each side has."""
    note: str = ""
    """Why nothing was measured or nothing decided; which trainings are censored."""


def decide(estimate: Estimate, sure: float, none: float) -> Verdict:
    """CONFIRMED: the interval lies above `sure`; REFUTED: it does not, and lies below `none`; else UNRESOLVED."""
    if estimate.above(sure):
        return "CONFIRMED"
    return "REFUTED" if estimate.below(none) else "UNRESOLVED"


def opposite(part: Part) -> Part:
    """The same effect for the claim that there is none."""
    return Part(
        part.what, OPPOSITE.get(part.verdict, part.verdict), part.estimate, part.kind, part.arms, part.seeds, part.note
    )


def conclusion(parts: Sequence[Part]) -> Verdict:
    """Of a claim that rests on all of these: one refuted part refutes it, and it is confirmed by all of them.

    Parts with the same words are arms: where they disagree, that part is unresolved. Without any measured part it is
    NOT MEASURED; where one is missing, UNRESOLVED.
    """
    by_words: dict[str, set[Verdict]] = {}
    for part in parts:
        by_words.setdefault(part.what, set()).add(part.verdict)
    verdicts = [found.pop() if len(found) == 1 else "UNRESOLVED" for found in by_words.values()]
    for verdict in ("NOT MEASURED", "CONFIRMED"):
        if all(found == verdict for found in verdicts):
            return verdict
    return "REFUTED" if "REFUTED" in verdicts else "UNRESOLVED"


def better(what: str, winners: Sequence[Training], losers: Sequence[Training], margin: float) -> Part:
    """By how much the best epoch of one workload is better than that of another, over the arms both have."""
    arms = _common(winners, losers)
    if not arms:
        return Part(what, "NOT MEASURED", note="no arm has trained both")
    sides = [[training for training in side if training.arm in arms] for side in (winners, losers)]

    def effect(fills: Sequence[Fill | None]) -> Estimate | None:
        first, second = (by_seed(side, _best(side, fill)) for side, fill in zip(sides, fills, strict=True))
        found = intervals.difference(list(first.values()), list(second.values())) if first and second else None
        return found and _signed(found, winners[0])

    return _part(what, sides, effect, lambda found: decide(found, 0.0, margin), arms)


def better_than(what: str, trainings: Sequence[Training], value: float, margin: float) -> Part:
    """By how much a workload's best epoch is better than a value that needs no training."""

    def effect(fills: Sequence[Fill | None]) -> Estimate | None:
        found = by_seed(trainings, _best(trainings, fills[0])).values()
        return intervals.mean([gain(trainings[0].more_is_better, each, value) for each in found]) if found else None

    if not trainings:
        return Part(what, "NOT MEASURED")
    arms = tuple(dict.fromkeys(training.arm for training in trainings))
    return _part(what, [trainings], effect, lambda found: decide(found, 0.0, margin), arms)


def averaged(
    what: str,
    trainings: Sequence[Training],
    figure: Callable[[Training], float | None],
    decided: Callable[[Estimate], Verdict],
    kind: Literal["difference", "ratio"],
) -> Part:
    """Mean over seeds of a figure of every training; those without one are counted, and decide nothing."""
    found = {training.cell: value for training in trainings if (value := figure(training)) is not None}
    mine = [training for training in trainings if training.cell in found]
    if not mine:
        return Part(what, "NOT MEASURED", note="no training has what it is made of")
    estimate = intervals.mean(list(by_seed(mine, lambda training: found[training.cell]).values()))
    left = [training for training in trainings if training.cell not in found]
    verdict = "UNRESOLVED" if left else decided(estimate)
    arms = tuple(dict.fromkeys(training.arm for training in mine))
    note = f"not known of {', '.join(training.cell for training in left)}" if left else _too_few(estimate)
    return Part(what, verdict, estimate, kind, arms, (estimate.seeds,), note)


def slower(what: str, slow: Sequence[Training], fast: Sequence[Training], sure: float, none: float) -> list[Part]:
    """How many times as long an epoch of one workload takes as one of the other, for every arm that trained both.

    The figure of a training is its median epoch, evaluation left out.
    """
    slow, fast = ([training for training in side if training.epochs] for side in (slow, fast))
    return [_slower(what, of(slow, arm=arm), of(fast, arm=arm), sure, none) for arm in _common(slow, fast)] or [
        Part(what, "NOT MEASURED", kind="ratio", note="no arm has trained both")
    ]


def _slower(what: str, slow: Sequence[Training], fast: Sequence[Training], sure: float, none: float) -> Part:
    """Both of one arm."""
    slow_s, fast_s = ([[point.train_s for point in training.points] for training in side] for side in (slow, fast))
    estimate, note = intervals.ratio(list(map(median, slow_s)), list(map(median, fast_s))), ""
    verdict = decide(estimate, sure, none)
    if not estimate.known:
        least = min(map(min, slow_s)) / max(map(max, fast_s))
        most = max(map(max, slow_s)) / min(map(min, fast_s))
        verdict = "CONFIRMED" if least > CLEAR * sure else "REFUTED" if CLEAR * most < none else "UNRESOLVED"
        note = f"too few trainings for an interval; single epochs: {least:.2f} to {most:.2f} times as long"
    return Part(what, verdict, estimate, "ratio", (slow[0].arm,), (len(slow), len(fast)), note)


def by_seed(trainings: Iterable[Training], figure: Callable[[Training], float | None]) -> dict[int, float]:
    """The figure of every seed: the mean over the trainings from it; those that are None are left out."""
    found: dict[int, list[float]] = {}
    for training in trainings:
        value = figure(training)
        if value is not None:
            found.setdefault(training.seed, []).append(value)
    return {seed: math.fsum(values) / len(values) for seed, values in found.items()}


def _best(trainings: Sequence[Training], fill: Fill | None) -> Callable[[Training], float | None]:
    """The best value of a training; of a censored one what `fill` says."""
    ends = [training.best[-1] for training in trainings if training.best]
    order = sorted(ends, reverse=bool(trainings and trainings[0].more_is_better))

    def figure(training: Training) -> float | None:
        if not training.censored:
            return training.best[-1]
        if fill is None or not order:
            return None
        if fill == "best":
            return order[0]
        return training.best[-1] if training.best else order[-1]

    return figure


def _part(
    what: str,
    sides: Sequence[Sequence[Training]],
    effect: Callable[[Sequence[Fill | None]], Estimate | None],
    decided: Callable[[Estimate], Verdict],
    arms: tuple[str, ...],
) -> Part:
    """The effect over whole trainings; its verdict if it is the same wherever the censored ones would have ended."""
    estimate = effect([None] * len(sides))
    left = [training for side in sides for training in side if training.censored]
    seeds = tuple(len({training.seed for training in side}) for side in sides)
    if estimate is None:
        note = f"none is whole on one side: {_fates(left)}"
        return Part(what, "UNRESOLVED", None, "difference", arms, seeds, note)
    verdicts = {decided(estimate)}
    fills: tuple[Fill, ...] = ("worst", "best")
    if left:
        corners = (effect(corner) for corner in itertools.product(fills, repeat=len(sides)))
        verdicts |= {decided(found) for found in corners if found is not None}
    verdict = verdicts.pop() if len(verdicts) == 1 else "UNRESOLVED"
    note = _too_few(estimate)
    if left:
        held = "the verdict holds wherever they would have ended" if verdict != "UNRESOLVED" else "they may decide it"
        note = "; ".join(filter(None, (note, f"not whole: {_fates(left)}; {held}")))
    return Part(what, verdict, estimate, "difference", arms, seeds, note)


def _fates(trainings: Sequence[Training]) -> str:
    return ", ".join(f"{training.cell} ({training.fate})" for training in trainings)


def _too_few(estimate: Estimate) -> str:
    return "" if estimate.known else f"no interval of fewer than {intervals.FEWEST} seeds"


def _common(a: Iterable[Training], b: Iterable[Training]) -> tuple[str, ...]:
    others = {training.arm for training in b}
    return tuple(dict.fromkeys(training.arm for training in a if training.arm in others))


def _signed(found: Estimate, training: Training) -> Estimate:
    """A difference of values as a difference of goodness."""
    if training.more_is_better:
        return found
    low, high = (None if end is None else -end for end in (found.high, found.low))
    return Estimate(-found.value, low, high, found.seeds)
