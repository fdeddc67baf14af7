"""Batches for Keras' fit where it reads Python objects: on JAX and PyTorch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

Batch = tuple[Any, Any]
"""Inputs (B, *input_shape) and targets (B, 1), on the device."""


class Feed(keras.utils.PyDataset):
    """One epoch: batch i is one vectorised gather, made when fit asks for it.

    No worker threads: they would share the cores that train, and bought nothing when tried on JAX.
    """

    def __init__(self, gather: Callable[[Any], Batch], batches: Sequence[Any]) -> None:
        super().__init__()
        self._gather, self._batches = gather, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._gather(self._batches[index])
