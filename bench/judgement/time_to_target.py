"""Time to quality: seconds of training until the declared target, and the frontier of time against quality.

**A training's time** is the clock at the end of the first epoch whose validation metric is as good as the target. It is
read with evaluation off the clock (training only) and on it (validation too, up to and with that epoch). Between epochs
nothing is validated, so it is known to one epoch, upwards; nothing is interpolated.

**Trainings that never get there** make the mean time infinite and may not be left out. The restricted mean time (Irwin
1949; Royston and Parmar 2013) is that of min(time, horizon): the mean number of seconds without the target up to a
horizon that all arms compared have in common. The horizon is the shortest schedule among the whole trainings that did
not get there: up to it everybody's fate is known, so nothing is modelled and nothing assumed about what would have
come. Where all got there, there is no horizon, and the mean is the plain one. A training that diverged, died or failed
is given the whole horizon: it never got there, whenever it ended. It does not shorten the horizon, or one early failure
would make it an epoch. Where it alone did not get there, the horizon is the shortest whole schedule of all.

**Interval.** Student's t from three seeds on, cut at 0 and the horizon. Two things keep it honest with few seeds: the
scatter is taken for no less than that of a time spread evenly over one epoch (its length over the root of 12), because
times that fall into the same epoch are not known to be equal; and where no seed reached the target there is no
interval, because seconds up to a horizon then say nothing. Simulated with three seeds whose times scatter over two to
six epochs it covers 93 % and more, with a long tail of late ones 88 %; the percentile bootstrap, the other way, 47 % to
74 %: three values have too few resamples, and three in the same epoch none.

**Frontier.** Of all points (seconds up to an epoch, best value so far) of all arms, those that no other point beats in
both: what can be had for a given time, and from which arm. Points are means over the seeds that all arms trained; where
there is none, over each arm's own. A censored training has its points as far as it went.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.judgement import intervals
from bench.judgement.intervals import FEWEST, Estimate
from bench.judgement.trainings import Training, gain

Clock = Literal["training", "training and evaluation"]
CLOCKS: tuple[Clock, ...] = ("training", "training and evaluation")


@dataclass(frozen=True)
class TimeToTarget:
    """One arm on one workload and device, by one clock."""

    workload: str
    device: str
    arm: str
    clock: Clock
    target: float
    reached: tuple[float | None, ...]
    """Seconds of each training, in their order; None: it never got there."""
    epochs: tuple[int | None, ...]
    """The epoch in which it got there."""
    horizon_s: float | None
    """None: everybody got there, or no training has a whole schedule to set one."""
    mean_s: Estimate | None
    """Restricted to the horizon; None where somebody did not get there and there is no horizon."""
    shortest_s: float
    """Whole schedule of the arm, from beginning to end; 0 without one."""

    @property
    def share(self) -> tuple[int, int]:
        """So many trainings got there, of so many."""
        return sum(time_s is not None for time_s in self.reached), len(self.reached)


@dataclass(frozen=True)
class Point:
    """What an arm has reached after an epoch."""

    arm: str
    epoch: int
    seconds: float
    """Of training."""
    value: float
    """The best so far, mean over the seeds."""
    seeds: int
    frontier: bool
    """No other arm or epoch is both sooner and better."""


def clock_s(training: Training, clock: Clock) -> tuple[float, ...]:
    """Seconds up to the end of every epoch."""
    if clock == "training":
        return training.train_s
    return tuple(map(sum, zip(training.train_s, training.validate_s, strict=True)))


def epoch_reached(training: Training, target: float) -> int | None:
    """The first epoch, from 1, whose value is as good as the target."""
    good = (gain(training.more_is_better, value, target) >= 0 for value in training.values)
    return next((epoch for epoch, reached in enumerate(good, 1) if reached), None)


def times(trainings: Sequence[Training], target: float) -> tuple[TimeToTarget, ...]:
    """Of every arm, by both clocks; the trainings are of one workload on one device."""
    arms = list(dict.fromkeys(training.arm for training in trainings))
    found = []
    for clock in CLOCKS:
        limit_s = horizon_s(trainings, target, clock)
        for arm in arms:
            mine = [training for training in trainings if training.arm == arm]
            epochs = tuple(epoch_reached(training, target) for training in mine)
            reached = tuple(
                None if epoch is None else clock_s(training, clock)[epoch - 1]
                for training, epoch in zip(mine, epochs, strict=True)
            )
            resolution_s = max((_epoch_s(training, clock) for training in mine if training.epochs), default=0.0)
            found.append(
                TimeToTarget(
                    workload=mine[0].workload,
                    device=mine[0].device,
                    arm=arm,
                    clock=clock,
                    target=target,
                    reached=reached,
                    epochs=epochs,
                    horizon_s=limit_s,
                    mean_s=restricted_mean(reached, limit_s, resolution_s),
                    shortest_s=min(
                        (clock_s(training, clock)[-1] for training in mine if training.ended == "whole"), default=0.0
                    ),
                )
            )
    return tuple(found)


def horizon_s(trainings: Iterable[Training], target: float, clock: Clock) -> float | None:
    """The common horizon of trainings that are compared; None where there is no need of one, or nothing to set it."""
    trainings = list(trainings)
    late = [training for training in trainings if epoch_reached(training, target) is None]
    whole = [training for training in late if not training.censored] or [
        training for training in trainings if not training.censored
    ]
    return min((clock_s(training, clock)[-1] for training in whole), default=None) if late else None


def restricted_mean(reached: Sequence[float | None], limit_s: float | None, resolution_s: float) -> Estimate | None:
    """Mean of min(time, limit), at least one training; the resolution is the length of an epoch.

    None where a training never got there and there is no limit.
    """
    if limit_s is None and None in reached:
        return None
    end_s = math.inf if limit_s is None else limit_s
    seconds = [end_s if time_s is None else min(time_s, end_s) for time_s in reached]
    found = intervals.mean(seconds)
    if len(seconds) < FEWEST or all(time_s is None or time_s >= end_s for time_s in reached):
        return Estimate(found.value, None, None, len(seconds))
    least_s = intervals.half_width(resolution_s / math.sqrt(12), len(seconds))
    half_s = max((found.high or 0.0) - found.value, least_s)
    return Estimate(found.value, max(0.0, found.value - half_s), min(end_s, found.value + half_s), len(seconds))


def frontier(trainings: Sequence[Training]) -> tuple[Point, ...]:
    """The points of every arm, in order of arm and epoch; the trainings are of one workload on one device."""
    arms = list(dict.fromkeys(training.arm for training in trainings))
    seeds = [{training.seed for training in trainings if training.arm == arm} for arm in arms]
    shared = set.intersection(*seeds) if seeds else set()
    raw: list[tuple[str, int, float, float, int]] = []
    for arm in arms:
        mine = [training for training in trainings if training.arm == arm and (not shared or training.seed in shared)]
        for epoch in range(min(training.epochs for training in mine)):
            seconds = math.fsum(training.train_s[epoch] for training in mine) / len(mine)
            value = math.fsum(training.best[epoch] for training in mine) / len(mine)
            raw.append((arm, epoch + 1, seconds, value, len(mine)))
    better = trainings[0].more_is_better if trainings else True
    return tuple(Point(*point, frontier=not any(_beats(better, other, point) for other in raw)) for point in raw)


def _beats(
    more_is_better: bool, other: tuple[str, int, float, float, int], point: tuple[str, int, float, float, int]
) -> bool:
    """Whether `other` is no later and no worse, and one of the two it is not equally."""
    sooner, better = point[2] - other[2], gain(more_is_better, other[3], point[3])
    return sooner >= 0 and better >= 0 and (sooner > 0 or better > 0)


def _epoch_s(training: Training, clock: Clock) -> float:
    return clock_s(training, clock)[-1] / training.epochs
