"""Batches for Keras' fit: their one size, and where it reads Python objects, on JAX and PyTorch, how it gets them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from bench.data.windows import Indices

Batch = tuple[Any, Any]
"""Inputs (B, *input_shape) and targets (B, 1), on the device."""


def common_size(batches: Sequence[Indices]) -> int:
    """Samples in each of the batches, of which only the last may be shorter; a ValueError where they differ."""
    size, last = len(batches[0]), len(batches[-1])
    if any(len(indices) != size for indices in batches[:-1]) or last > size:
        raise ValueError(f"batches of {sorted({len(indices) for indices in batches})} samples; expected one size")
    return size


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
