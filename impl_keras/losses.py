"""Loss and accuracy of every head, on raw outputs (batch, 1) and targets (batch, 1).

Keras' own losses and metrics squeeze or broadcast shapes that differ; here they raise.
"""

from typing import Any

import keras
from keras import ops

from bench.workload import Workload

Tensor = Any
"""A tensor of whichever backend Keras runs on."""


def _require_same_shape(targets: Tensor, outputs: Tensor) -> None:
    # (batch,) against (batch, 1) broadcasts to (batch, batch) without an error, and trains on nonsense. A size that
    # is unknown while a graph is traced (None) can only be that of the batch axis.
    if len(targets.shape) != len(outputs.shape) or any(
        a != b for a, b in zip(targets.shape, outputs.shape, strict=True) if a is not None and b is not None
    ):
        raise ValueError(f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} must have one shape")


class BinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Keras' own. From probabilities it clips to [1e-7, 1 - 1e-7], with zero gradient outside."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        _require_same_shape(y_true, y_pred)
        return super().call(y_true, y_pred)


class MeanAbsoluteError(keras.losses.MeanAbsoluteError):
    """Keras' own."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        _require_same_shape(y_true, y_pred)
        return super().call(y_true, y_pred)


def accuracy_of_logits(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """(logit > 0) == label, per sample."""
    _require_same_shape(y_true, y_pred)
    return ops.equal(ops.cast(ops.greater(y_pred, 0), y_true.dtype), y_true)


def accuracy_as_published(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """round(output) == label, per sample, as Keras 2 had it: an output above 1.5 counts as wrong."""
    _require_same_shape(y_true, y_pred)
    return ops.equal(ops.round(y_pred), y_true)


def loss(workload: Workload) -> keras.Loss:
    """The workload's loss, a mean over the batch."""
    if workload.loss == "mean_absolute_error":
        return MeanAbsoluteError()
    return BinaryCrossentropy(from_logits=workload.head == "logits")


def metrics(workload: Workload) -> list[keras.Metric]:
    """What is counted beside the loss, which Keras tracks itself; means over samples."""
    if workload.head is None:
        return []
    correct = accuracy_of_logits if workload.head == "logits" else accuracy_as_published
    return [keras.metrics.MeanMetricWrapper(correct, name="accuracy")]
