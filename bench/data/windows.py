"""A data set as arrays staged once, and the index stream that picks the same batches from them for every arm."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int32]
"""(batch,) sample numbers of token data, or the rows that windows end before."""
Identity = Literal["genuine", "equivalent", "other", "synthetic"]
Split = Literal["train", "validation", "test"]

SHUFFLES = 5
"""So many orders of the time steps, the same for every arm and seed, tell how blind a trained model is to order."""
_WINDOWS_AT_ONCE = 8  # picked, then put into the caller's buffer while they are in the processor's cache
_SHUFFLE = 3  # third word of the seed: keeps this stream apart from batches, which have none, weights and masks (1, 2)


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file the data came from."""

    name: str
    sha256: str
    size_bytes: int


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the data is: `identity` decides whether published figures may stand beside results."""

    identity: Identity
    description: str
    """One line for screen and report."""
    files: tuple[DataFile, ...]


@dataclass(frozen=True)
class Dataset:
    """One workload's data: arrays to stage once, and which samples make the batches.

    Token data: `inputs` (samples, time_steps) int32, `targets` (samples,) float32, `offsets` None; index i is sample i.
    Series: `inputs` (rows, features) float32, standardised, `targets` (rows - delay,) float32, the standardised target
    feature `delay` rows after row i; index i is the window of rows `inputs[i + offsets]`, offsets (time_steps,) int32.
    """

    source: Source
    inputs: NDArray[np.int32] | NDArray[np.float32]
    targets: NDArray[np.float32]
    offsets: Indices | None
    ranges: dict[Split, tuple[int, int]]
    """First index and the one past the last of every split."""
    batch_size: int
    steps_per_epoch: int

    def train_batches(self, seed: int, epoch: int) -> list[Indices]:
        """The batches of one epoch (numbered from 1) under a run's seed.

        Token data: every training sample once in a new order, the last batch short. Series: window ends drawn
        uniformly with replacement. From NumPy's legacy generator, whose streams never change (NEP 19).
        """
        first, end = self.ranges["train"]
        random = np.random.RandomState([seed, epoch])
        if self.offsets is None:
            order = (first + random.permutation(end - first)).astype(np.int32)
        else:
            order = random.randint(first, end, size=self.steps_per_epoch * self.batch_size, dtype=np.int32)
        return self._cut(order)

    def validation_batches(self) -> list[Indices]:
        """The same batches every epoch, in order."""
        return self._in_order("validation")

    def test_batches(self) -> list[Indices]:
        """The same batches every time, in order."""
        return self._in_order("test")

    def gather(
        self, indices: Indices, out: NDArray[np.int32] | NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.int32] | NDArray[np.float32], NDArray[np.float32]]:
        """Inputs (batch, *input_shape) and targets (batch,) of one batch, picked by whole samples, into `out` if given.

        `out` has the inputs' dtype and is contiguous. The indices must come from this data set's splits.
        """
        if self.offsets is None:
            # "clip" because "raise", the default, makes NumPy fill a buffer of its own first; every index is in range.
            return np.take(self.inputs, indices, axis=0, out=out, mode="clip"), self.targets[indices]
        if not self.in_order:
            rows = indices[:, np.newaxis] + self.offsets
            return np.take(self.inputs, rows, axis=0, out=out, mode="clip"), self.targets[indices]
        windows, step, stride = self._windows
        period, phase = np.divmod(indices + self.offsets[0], step)
        places = phase * stride + period
        if out is None:
            picked = windows[places].view(np.float32)
            return picked.reshape(len(places), len(self.offsets), -1), self.targets[indices]
        into = out.reshape(len(places), -1).view(windows.dtype)[:, 0]
        for start in range(0, len(places), _WINDOWS_AT_ONCE):
            block = slice(start, start + _WINDOWS_AT_ONCE)
            into[block] = windows[places[block]]
        return out, self.targets[indices]

    @functools.cached_property
    def in_order(self) -> bool:
        """Whether a window's time steps follow one another as time does; so they do unless they were shuffled."""
        return self.offsets is None or bool(np.all(np.diff(self.offsets) > 0))

    def shuffled(self, number: int) -> "Dataset":
        """The same series with the time steps of every window in the order that `number` stands for, at least 0.

        ValueError for token data, where the order of words is no matter of offsets.
        """
        if self.offsets is None:
            raise ValueError("token data has no time steps to shuffle; only windows of a series have")
        order = np.random.RandomState([number, 0, _SHUFFLE]).permutation(len(self.offsets))
        return dataclasses.replace(self, offsets=self.offsets[order])

    @functools.cached_property
    def _windows(self) -> tuple[NDArray[np.void], int, int]:
        """Every window as one opaque item, which NumPy copies whole; the window's step; how many begin in a phase.

        They overlap in a second copy of the series, made at the first gather, whose rows are sorted by row number
        modulo the step: there a window lies in one piece.
        """
        assert self.offsets is not None
        steps, features = len(self.offsets), self.inputs.shape[1]
        step = int(self.offsets[1] - self.offsets[0]) if steps > 1 else 1
        stride = -(-len(self.inputs) // step)
        padded = np.zeros((stride * step, features), np.float32)
        padded[: len(self.inputs)] = self.inputs
        rows = np.ascontiguousarray(padded.reshape(stride, step, features).swapaxes(0, 1))
        row_bytes = features * rows.itemsize
        window = np.dtype((np.void, steps * row_bytes))
        return np.ndarray((stride * step - steps + 1,), window, rows, strides=(row_bytes,)), step, stride

    def _in_order(self, split: Split) -> list[Indices]:
        first, end = self.ranges[split]
        if self.offsets is not None:  # whole batches only: a shorter last one would start over, as in the notebook
            end = first + (end - first) // self.batch_size * self.batch_size
        return self._cut(np.arange(first, end, dtype=np.int32))

    def _cut(self, order: Indices) -> list[Indices]:
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


def naive_loss(dataset: Dataset, split: Literal["validation", "test"] = "validation") -> float | None:
    """Mean absolute error, in standard deviations, of "in `delay` rows it is as warm as in the window's last row".

    Over the samples of the split's batches, those of validation as in the source notebook; None for token data.
    """
    if dataset.offsets is None:
        return None
    ends = np.concatenate(dataset.validation_batches() if split == "validation" else dataset.test_batches())
    delay = len(dataset.inputs) - len(dataset.targets)
    now = dataset.targets[ends + dataset.offsets.max() - delay]
    return float(np.mean(np.abs(now - dataset.targets[ends]), dtype=np.float64))
