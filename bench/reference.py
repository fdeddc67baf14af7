"""The judge of parity: forward pass, loss, gradients and training of any workload, in float64 NumPy.

Every arm is held to these numbers. They rest on nothing but NumPy's array operations; `tests/test_reference.py` holds
them to finite differences and to cases worked out by hand. Arguments of any precision are taken and widened first.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bench import layers, reference_layers, reference_recurrent
from bench.layers import Layer, Shape
from bench.reference_layers import Array, Back
from bench.workload import RMSprop, Workload

Given = Mapping[str, NDArray[np.floating]]
"""Weights or masks by canonical name, of any float precision."""
CLIP = 1e-7
"""A published head's outputs are clipped to [CLIP, 1 - CLIP]. In float32 the upper end rounds to 1 - 1.19e-7: there a
loss of a wrong, clipped output is 15.94 rather than 16.12, which is float32's doing, not an arm's."""


def forward(workload: Workload, weights: Given, inputs: NDArray[np.generic], masks: Given | None = None) -> Array:
    """Raw outputs (batch,) of the last layer for inputs (batch, *input_shape).

    Without masks there is no dropout, as in evaluation; with them (`Workload.masks` has names and shapes) it is the
    training pass that drew these masks. ValueError names an argument of the wrong name or shape.
    """
    return _forward(workload, weights, inputs, masks)[0]


def apply(
    layer: Layer, weights: Mapping[str, Array], x: NDArray[np.generic], masks: Mapping[str, Array]
) -> tuple[Array, Back]:
    """The layer on a batch; `weights` by the names of `layer.weights`, `masks` by those of `GRU.masks` or none."""
    if isinstance(layer, layers.Embedding):
        return reference_layers.embedding(x, **weights)
    series = np.asarray(x, np.float64)
    match layer:
        case layers.Conv1D():
            return reference_layers.conv1d(series, **weights, dilation=1)
        case layers.CausalConv1D():
            return reference_layers.causalconv1d(series, **weights, dilation=layer.dilation)
        case layers.MaxPool1D():
            return reference_layers.maxpool1d(series, layer.size)
        case layers.GlobalMaxPool1D():
            return reference_layers.globalmaxpool1d(series)
        case layers.LastStep():
            return reference_layers.laststep(series)
        case layers.GRU():
            return reference_recurrent.gru(series, **weights, gate=layer.gate, masks=masks)
        case layers.LSTM():
            return reference_recurrent.lstm(series, **weights)
        case layers.Dense():
            return reference_layers.dense(series, **weights)
    raise TypeError(f"the reference does not know layer {layer!r}; add it to bench/reference.py")


def loss(workload: Workload, predictions: NDArray[np.floating], targets: NDArray[np.floating]) -> float:
    """Mean loss of predictions o (batch,) for targets y (batch,).

    Mean absolute error |o - y|, or cross-entropy -y log p - (1 - y) log(1 - p) with p the logistic function of o (head
    `logits`) or o itself clipped to [1e-7, 1 - 1e-7] (head `as_published`).
    """
    return _loss_and_slope(workload, predictions, targets)[0]


def metrics(workload: Workload, predictions: NDArray[np.floating], targets: NDArray[np.floating]) -> dict[str, float]:
    """The workload's metrics, means over the batch.

    Accuracy counts (o > 0) == y for logits and round(o) == y, a half going to the even neighbour, as published.
    """
    values = {"loss": loss(workload, predictions, targets)}
    if workload.head is not None:
        said = np.round(predictions) if workload.head == "as_published" else predictions > 0
        values["accuracy"] = float(np.mean(said == targets))
    return values


def loss_and_gradients(
    workload: Workload,
    weights: Given,
    inputs: NDArray[np.generic],
    targets: NDArray[np.floating],
    masks: Given | None = None,
) -> tuple[Array, float, dict[str, Array]]:
    """Predictions (batch,), mean loss, and its gradient with respect to every weight, dense and in canonical layout."""
    predictions, backs = _forward(workload, weights, inputs, masks)
    value, slope = _loss_and_slope(workload, predictions, targets)
    gradients: dict[str, Array] = {}
    flowing = slope[:, None]  # (batch, 1), as the last layer put out
    for layer, back in zip(reversed(workload.layers), reversed(backs), strict=True):
        flowing, own = back(flowing)
        gradients |= {f"{layer.name}.{name}": gradient for name, gradient in own.items()}
    return predictions, value, {name: gradients[name] for name in workload.weights()}


def rmsprop_step(
    optimizer: RMSprop, weights: Mapping[str, Array], squares: Mapping[str, Array], gradients: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """New weights and new running means of squared gradients, v: by the rule of `bench.workload.RMSprop`."""
    rho, epsilon = optimizer.rho, optimizer.epsilon
    v = {name: rho * squares[name] + (1 - rho) * g * g for name, g in gradients.items()}
    if optimizer.epsilon_inside:
        roots = {name: np.sqrt(value + epsilon) for name, value in v.items()}
    else:
        roots = {name: np.sqrt(value) + epsilon for name, value in v.items()}
    moved = {name: weights[name] - optimizer.learning_rate * g / roots[name] for name, g in gradients.items()}
    return moved, v


def train(
    workload: Workload,
    weights: Given,
    batches: Iterable[tuple[NDArray[np.generic], NDArray[np.floating]]],
    masks: Given | None = None,
) -> dict[str, Array]:
    """The weights after one update on each batch of inputs and targets, in order, the optimiser starting from zeros.

    `masks`, if given, serve every batch.
    """
    trained = _widened(weights, workload.weights(), "weight")
    squares = {name: np.zeros_like(weight) for name, weight in trained.items()}
    for inputs, targets in batches:
        _, _, gradients = loss_and_gradients(workload, trained, inputs, targets, masks)
        trained, squares = rmsprop_step(workload.optimizer, trained, squares, gradients)
    return trained


def _forward(
    workload: Workload, weights: Given, inputs: NDArray[np.generic], masks: Given | None
) -> tuple[Array, list[Back]]:
    if inputs.shape[1:] != workload.input_shape:
        raise ValueError(f"inputs have shape {inputs.shape}; {workload.name} expects (batch, *{workload.input_shape})")
    wide = _widened(weights, workload.weights(), "weight")
    drawn = {} if masks is None else _widened(masks, workload.masks(len(inputs)), "mask")
    x, backs = inputs, []
    for layer in workload.layers:
        x, back = apply(layer, _of(layer.name, wide), x, _of(layer.name, drawn))
        backs.append(back)
    return np.asarray(x, np.float64)[:, 0], backs


def _loss_and_slope(
    workload: Workload, predictions: NDArray[np.floating], targets: NDArray[np.floating]
) -> tuple[float, Array]:
    """Mean loss, and its derivative with respect to every prediction (batch,)."""
    if predictions.ndim != 1 or predictions.shape != targets.shape:  # (batch,) against (batch, 1) would broadcast
        raise ValueError(f"predictions {predictions.shape} and targets {targets.shape}; expected (batch,) twice")
    o, y = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
    if workload.loss == "mean_absolute_error":
        each, slope = np.abs(o - y), np.sign(o - y)  # sign(0) = 0
    elif workload.head == "logits":
        each = np.logaddexp(0.0, o) - o * y  # = -y log p - (1 - y) log(1 - p), without overflow
        slope = reference_recurrent.sigmoid(o) - y
    else:
        p = np.clip(o, CLIP, 1 - CLIP)
        each = -y * np.log(p) - (1 - y) * np.log1p(-p)
        slope = np.where(p == o, (p - y) / (p * (1 - p)), 0.0)  # nothing comes back from a clipped output
    return float(each.mean()), slope / len(o)


def _of(layer: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of one layer, by their names within it."""
    return {name.removeprefix(f"{layer}."): array for name, array in arrays.items() if name.startswith(f"{layer}.")}


def _widened(arrays: Given, expected: Mapping[str, Shape], what: str) -> dict[str, Array]:
    if arrays.keys() != expected.keys():
        raise ValueError(f"{what}s are named {sorted(arrays)}; expected {sorted(expected)}")
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{what} {name} has shape {arrays[name].shape}; expected {shape}")
    return {name: np.asarray(arrays[name], np.float64) for name in expected}
