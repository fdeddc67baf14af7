"""Against the book: the published curve, and where ours lie over the seeds.

The published curve is one training. If it were one more of ours, the question would be whether it lies where ours do:
- per epoch, beside the median and the band of ours over seeds. The band is the smallest to the largest, from `MANY`
  seeds on the middle 95 %. Of trainings like ours 2 in N + 1 leave a smallest-to-largest band of N at any epoch by
  chance: with three seeds every second one. It shows, it does not judge.
- once for a curve: its mean distance over all epochs, ours minus published, by seed. OUTSIDE: zero is not in the 95 %
  prediction interval of one more training, mean ± t s sqrt(1 + 1/N). INSIDE: it is, which proves no agreement.
  UNRESOLVED: fewer than three seeds. One number for a curve, because neighbouring epochs are not independent and twenty
  intervals would be left once by chance.
Arms are averaged within a seed. Only trainings that are whole, and alive to the end where the head can die, make the
band: nobody would have published another. Which are left out is named beside it.

**Reasons.** What the book had otherwise is tested by switching it: trainings that differ in that one setting, the same
seeds and arms. The distance of a training is the mean over epochs of |its validation loss - the published|. CLOSES: the
switched ones come nearer (the 95 % interval over seeds of the difference lies above 0) and are INSIDE. NARROWS: they
come nearer. WIDENS: they get farther away. UNRESOLVED: neither, or fewer than three seeds. NOT MEASURED: nobody trained
with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bench.judgement import evidence, intervals
from bench.judgement.intervals import FEWEST, Estimate
from bench.judgement.trainings import Training, died_after
from bench.published import COLUMNS
from bench.record import Workload

Place = Literal["INSIDE", "OUTSIDE", "UNRESOLVED"]
Effect = Literal["CLOSES", "NARROWS", "WIDENS", "UNRESOLVED", "NOT MEASURED"]

REASONS = {
    "head-as_published": "head `as_published`: clipped probabilities, accuracy by rounding",
    "gate-hard_sigmoid": "hard gates, clip(0.2 a + 0.5, 0, 1)",
    "optimizer-book": "RMSprop of Keras 2.0.8, epsilon outside the root: sqrt(v) + 1e-8",
}
"""What the book had otherwise, by the setting that switches it."""
MANY = 20
"""From so many seeds on the band is of quantiles."""


@dataclass(frozen=True)
class Curve:
    """One published column beside ours; arrays have an entry for each epoch that all have."""

    split: str
    metric: str
    published: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]
    seeds: tuple[int, ...]
    distance: Estimate
    """Mean over epochs, ours minus published; its interval is the prediction interval of one more training."""
    place: Place

    @property
    def outside(self) -> int:
        """In so many epochs the published value lies outside the band."""
        return sum(
            not low <= value <= high
            for low, value, high in zip(self.low, self.published, self.high, strict=True)
        )  # fmt: skip


@dataclass(frozen=True)
class Switch:
    """A reason why ours may differ, and what trainings that differ in it alone say."""

    what: str
    workload: str
    """With the setting, as the run calls it."""
    effect: Effect
    nearer: Estimate | None = None
    """By how much the switched trainings are nearer to the published curve, over seeds."""
    why: str = ""
    """Why nothing was measured or decided."""


def comparable(training: Training) -> bool:
    """Whether it is whole and alive to the end."""
    return not training.censored and died_after(training) is None


def curves(published: pd.DataFrame, trainings: Sequence[Training]) -> tuple[Curve, ...]:
    """Every published column beside the trainings of one workload and device; empty where none is comparable."""
    whole = list(filter(comparable, trainings))
    found = []
    for (split, metric), column in COLUMNS.items():
        if column not in published or not whole:
            continue
        epochs = min(len(published), *(training.epochs for training in whole))
        values = _by_seed(whole, split, metric, epochs)
        book = published[column].to_numpy("float64")[:epochs]
        ends = (0.0, 100.0) if len(values) < MANY else (2.5, 97.5)
        low, middle, high = np.percentile(list(values.values()), (ends[0], 50.0, ends[1]), axis=0)
        distance = predicted([float(np.mean(ours - book)) for ours in values.values()])
        found.append(
            Curve(
                split, metric, tuple(book.tolist()), tuple(low.tolist()), tuple(middle.tolist()), tuple(high.tolist()),
                tuple(values), distance, place(distance),
            )
        )  # fmt: skip
    return tuple(found)


def predicted(values: Sequence[float]) -> Estimate:
    """The mean of one value per seed, with the 95 % prediction interval of one more; none of fewer than three."""
    found = intervals.mean(values)
    if found.high is None:
        return found
    half = (found.high - found.value) * math.sqrt(len(values) + 1)
    return Estimate(found.value, found.value - half, found.value + half, len(values))


def place(distance: Estimate) -> Place:
    """Where the published curve lies among ours."""
    if not distance.known:
        return "UNRESOLVED"
    return "OUTSIDE" if distance.above(0) or distance.below(0) else "INSIDE"


def switches(
    name: str, spec: Workload, published: pd.DataFrame, variants: Mapping[str, Sequence[Training]]
) -> tuple[Switch, ...]:
    """What the book had otherwise for this workload; `variants` are its trainings on one device by key.

    A switch is judged wherever there are trainings with and without it that share all other settings.
    """
    applies = {"head": spec.head is not None, "gate": any(kind == "gru" for _, kind, _, _ in spec.layers)}
    found = []
    for setting, what in REASONS.items():
        pairs = [(base, key) for key in variants if (base := _without(key, setting)) is not None and base in variants]
        if pairs:
            found += [_switched(what, base, key, published, variants) for base, key in pairs]
        elif applies.get(setting.partition("-")[0], True):
            found.append(Switch(what, f"{name}.{setting}", "NOT MEASURED", why="no training with it"))
    if spec.data.identity != "genuine":
        why = f"a run has one data set, and this one's is {spec.data.identity}"
        found.append(Switch("the genuine file", name, "NOT MEASURED", why=why))
    return tuple(found)


def _without(key: str, setting: str) -> str | None:
    """The key without the setting; None where it does not have it."""
    parts = key.split(".")
    return ".".join(part for part in parts if part != setting) if setting in parts[1:] else None


def _switched(
    what: str, own: str, other: str, published: pd.DataFrame, variants: Mapping[str, Sequence[Training]]
) -> Switch:
    sides = [list(filter(comparable, variants[key])) for key in (own, other)]
    common = {(training.arm, training.seed) for training in sides[0]}
    common &= {(training.arm, training.seed) for training in sides[1]}
    if not common:
        none = [key for key, side in zip((own, other), sides, strict=True) if not side]
        why = f"no whole, live training of {none[0]}" if none else f"no arm and seed trained both this and {own}"
        return Switch(what, other, "NOT MEASURED", why=why)
    distances = [
        evidence.by_seed((each for each in side if (each.arm, each.seed) in common), lambda t: _distance(t, published))
        for side in sides
    ]
    nearer = intervals.mean([distances[0][seed] - distances[1][seed] for seed in distances[0]])
    if not nearer.known:
        return Switch(what, other, "UNRESOLVED", nearer, f"no interval of fewer than {FEWEST} seeds")
    if nearer.below(0):
        return Switch(what, other, "WIDENS", nearer)
    if not nearer.above(0):
        return Switch(what, other, "UNRESOLVED", nearer, "the interval holds 0")
    judged = [training for training in sides[1] if (training.arm, training.seed) in common]
    losses = (curve for curve in curves(published, judged) if (curve.split, curve.metric) == ("validation", "loss"))
    return Switch(what, other, "CLOSES" if next(losses).place == "INSIDE" else "NARROWS", nearer)


def _distance(training: Training, published: pd.DataFrame) -> float:
    ours = [point.validation["loss"] for point in training.points]
    return float(np.mean([abs(a - b) for a, b in zip(ours, published["val_loss"], strict=False)]))


def _by_seed(trainings: Sequence[Training], split: str, metric: str, epochs: int) -> dict[int, np.ndarray]:
    found: dict[int, list[list[float]]] = {}
    for training in trainings:
        points = training.points[:epochs]
        found.setdefault(training.seed, []).append([getattr(point, split)[metric] for point in points])
    return {seed: np.mean(values, axis=0) for seed, values in sorted(found.items())}
