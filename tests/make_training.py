"""Builds whole trainings out of simulated learning curves. Nothing in them was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judgement.trainings import Ended, Training
from bench.record import CurvePoint, Tested

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """What the learning curves of a workload look like, and how they scatter; standard deviations."""

    metric: str
    epochs: int
    first: float
    last: float
    """Where the curve would end without overfitting."""
    pace: float
    """Epochs in which the rest of the way shrinks to 1 / e."""
    overfits: float
    """Away from the last value with each epoch after the sixth."""
    seed: float
    """Between seeds: what equal initial weights and batches share."""
    arm: float
    """Between arms that train from one seed."""
    noise: float
    """Between epochs."""


CONV = Shape("accuracy", 10, 0.60, 0.86, 1.6, -0.001, seed=0.004, arm=0.0015, noise=0.003)
JENA = Shape("loss", 20, 0.55, 0.44, 1.2, 0.001, seed=0.006, arm=0.003, noise=0.005)


def simulate(draw: np.random.Generator, shape: Shape, arms: int, seeds: int, shift: float = 0.0) -> Floats:
    """Validation values, (arms, seeds, epochs); those of the last arm lie `shift` higher."""
    epoch = np.arange(shape.epochs)
    curve = shape.last + (shape.first - shape.last) * np.exp(-epoch / shape.pace)
    curve = curve + shape.overfits * np.maximum(0, epoch - 5)
    values = curve + draw.normal(0, shape.seed, (1, seeds, 1)) + draw.normal(0, shape.arm, (arms, seeds, 1))
    values = values + draw.normal(0, shape.noise, (arms, seeds, shape.epochs))
    values[-1] += shift
    return np.asarray(values)


def make_training(
    values: Sequence[float],
    *,
    arm: str = "a",
    seed: int = 0,
    workload: str = "conv",
    device: str = "cpu",
    metric: str = "accuracy",
    epoch_s: float = 10.0,
    validate_s: float = 2.0,
    ended: Ended = "whole",
    dead: bool = False,
    identity: str = "equivalent",
    tested: Tested | None = None,
    others: dict[str, Sequence[float]] | None = None,
    bare: bool = False,
) -> Training:
    """A training with these validation values; `others` are columns of the curve, as `train loss`.

    A `bare` one has no epochs as recorded, which take the most time to build.
    """
    columns: dict[str, Any] = {f"validation {metric}": values, "validation loss": values, **(others or {})}
    points = tuple(
        CurvePoint(
            epoch + 1,
            {name.split()[1]: float(column[epoch]) for name, column in columns.items() if name.startswith("train")},
            {name.split()[1]: float(column[epoch]) for name, column in columns.items() if name.startswith("valid")},
            epoch_s,
            validate_s,
        )
        for epoch in range(0 if bare else len(values))
    )
    return Training(
        cell=f"{workload}.{arm}.{device}.s{seed}",
        workload=workload,
        arm=arm,
        device=device,
        seed=seed,
        identity=identity,
        metric=metric,
        values=tuple(map(float, values)),
        train_s=tuple(epoch_s * (epoch + 1) for epoch in range(len(values))),
        validate_s=tuple(validate_s * (epoch + 1) for epoch in range(len(values))),
        points=points,
        samples_per_epoch=20_000,
        ended=ended,
        reason=None if ended == "whole" else f"{ended}, simulated",
        dead=dead,
        tested=tested,
    )


def by_arm(values: Floats, **given: Any) -> dict[str, dict[int, Training]]:
    """Trainings by arm (`a`, `b`, …) and seed from simulated values."""
    return {
        "abcdefgh"[arm]: {
            seed: make_training(curve, arm="abcdefgh"[arm], seed=seed, **given) for seed, curve in enumerate(curves)
        }
        for arm, curves in enumerate(values)
    }
