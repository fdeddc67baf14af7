"""The gate's checks of the dropout masks that a framework draws itself: rate, scale, constancy, independence."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench import reference
from bench.implementation import Session
from bench.layers import GRU
from bench.parity_judge import Judge
from bench.workload import Workload

DRAWS = 16
SIGMAS = 5.0
"""A fair sampler strays beyond five standard deviations once in 1.7 million looks; a run takes some dozens."""


def hold_sampler(
    judgement: Judge,
    session: Session,
    workload: Workload,
    inputs: NDArray[np.generic],
    start: Mapping[str, NDArray[np.float32]],
) -> None:
    """Draws masks in training-mode forward passes of `inputs`, and holds them to what dropout is defined to be.

    That the reference, given the drawn masks, predicts the same proves that these masks were used, were constant over
    time, and left the carried state alone. Without masks it predicts the same in evaluation: none are drawn there.
    """
    session.reset(start)
    session.set_masks(None)
    draws = []
    for _ in range(DRAWS):
        predictions, masks = session.training_forward(inputs)
        draws.append(masks)
    expected = reference.forward(workload, start, inputs, draws[-1])
    judgement.hold("predictions under its own masks", predictions, expected, judgement.bounds.values)
    judgement.hold(
        "predictions in evaluation, after drawing masks",
        session.predict(inputs),
        reference.forward(workload, start, inputs),
        judgement.bounds.values,
    )
    for name, share in _shares(workload).items():
        hold_masks(judgement, name, np.stack([draw[name] for draw in draws]), share, workload.devices)


def hold_masks(judgement: Judge, name: str, masks: NDArray[np.floating], share: float, devices: int = 1) -> None:
    """Holds masks (draw, gate, sample, feature) to independent Bernoulli draws that drop `share` and scale the rest.

    Of several devices, each has its part of the samples, and must not draw what another one draws.
    """
    kept = masks != 0
    scale = 1 / (1 - share)
    stray = float(np.max(np.abs(masks[kept] / scale - 1), initial=0.0))
    judgement.state(f"mask {name}: scale of what is kept", stray, judgement.bounds.scale)
    for gate, of_gate in zip("zrh", kept.swapaxes(0, 1), strict=True):
        error, bound = _stray(1 - of_gate, share)
        judgement.state(f"mask {name}: share dropped by gate {gate}", error, bound)
    # two independent masks disagree in 2 p (1 - p) of their places, two equal ones nowhere
    differ = 2 * share * (1 - share)
    apart = [(axis, 1, what) for axis, what in enumerate(("batches", "gates", "samples", "features"))]
    if devices > 1:
        apart.append((2, kept.shape[2] // devices, "devices"))
    for axis, steps, what in apart:
        neighbours = kept != np.roll(kept, steps, axis)
        error, bound = _stray(neighbours, differ)
        # around a ring of two, every pair is counted twice, and neighbouring pairs share a mask: twice the spread
        judgement.state(f"mask {name}: difference between {what}", error, 2 * bound)


def _stray(happened: NDArray[np.bool_] | NDArray[np.integer], probability: float) -> tuple[float, float]:
    """How far an event's share is from its probability, and how far it may be."""
    sigma = np.sqrt(probability * (1 - probability) / happened.size)
    return float(abs(happened.mean() - probability)), float(SIGMAS * sigma)


def _shares(workload: Workload) -> dict[str, float]:
    return {
        f"{layer.name}.{mask}": share
        for layer in workload.layers
        if isinstance(layer, GRU)
        for mask, share in (("input", layer.dropout), ("recurrent", layer.recurrent_dropout))
        if layer.dropout or layer.recurrent_dropout
    }
