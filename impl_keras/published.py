"""The Session that feeds Keras as the published program does: a Python loop that builds each window, or plain arrays.

Only the way of the data differs from `impl_keras.session`: the model, its mathematics, its optimiser and which samples
make a batch are the same. A series comes from a Python generator, whose windows are picked one by one in NumPy's own
float type; Keras turns them into its own and prefetches them. Reviews are NumPy arrays in the order of the epoch. A
training step is what fit does between two batches, the making of the batch with it.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import get_data_adapter
from numpy.typing import NDArray

from bench.data.windows import Dataset, Indices
from bench.implementation import Metrics, Setup
from impl_keras.backend_tensorflow import without_tuner
from impl_keras.data import common_size
from impl_keras.session import KerasSession


def open_session(setup: Setup) -> "PublishedSession":
    """Opens a session; a RuntimeError says so when backend or device are not the ones asked for."""
    return PublishedSession(setup)


class PublishedSession(KerasSession):
    """See `bench.implementation.Session` for what every method promises."""

    def stage(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.readings = dataset.inputs if dataset.offsets is None else dataset.inputs.astype(np.float64)

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.batches, self.stream = list(batches), None

    def train_step(self, number: int) -> None:
        place = number % len(self.batches)
        if self.stream is None or place != self.place:
            self.stream = self._stream([*self.batches[place:], *self.batches[:place]])
        self.model.train_function(self.stream)
        self.place = (place + 1) % len(self.batches)

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        feed = self._feed(batches)
        history = self.model.fit(feed, steps_per_epoch=len(batches), epochs=1, shuffle=False, verbose=0).history
        return {name: float(history[name][0]) for name in self.workload.metrics}

    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        means = self.model.evaluate(self._feed(batches), steps=len(batches), verbose=0, return_dict=True)
        return {name: float(means[name]) for name in self.workload.metrics}

    def aside(self) -> None:
        return None

    def _feed(self, batches: Sequence[Indices]) -> tf.data.Dataset:
        """What fit makes of a generator or of arrays, by the same adapter of Keras' own, but for tf.data's tuner.

        Keras cannot tell from it how many batches there are: it has to be told.
        """
        if self.dataset.offsets is not None:
            adapter = get_data_adapter(windows(self.dataset, self.readings, batches))
        else:
            order = np.concatenate(batches)
            inputs, targets = self.readings[order], self.dataset.targets[order]
            adapter = get_data_adapter(inputs, targets[:, np.newaxis], batch_size=common_size(batches))
        return without_tuner(adapter.get_tf_dataset())

    def _stream(self, batches: Sequence[Indices]) -> Iterator[Any]:
        """The batches over and over, as the iterator that fit would hand to the training function."""
        if self.dataset.offsets is not None:
            endless = windows(self.dataset, self.readings, itertools.cycle(batches))
            return iter(without_tuner(get_data_adapter(endless).get_tf_dataset()))
        return iter(self._feed(batches).repeat())


def windows(
    dataset: Dataset, readings: NDArray[np.floating], batches: Iterable[Indices]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each batch of a series inputs (B, T, C) and targets (B, 1), window by window from `readings` (rows, C)."""
    assert dataset.offsets is not None
    rows_of = _rows_of(dataset)
    shape = len(dataset.offsets), readings.shape[1]
    for batch in batches:
        samples, targets = np.zeros((len(batch), *shape)), np.zeros((len(batch), 1))
        for number, row in enumerate(batch):
            samples[number] = readings[rows_of(row)]
            targets[number] = dataset.targets[row]
        yield samples, targets


def _rows_of(dataset: Dataset) -> Callable[[int], Sequence[int] | Indices]:
    """The rows of the window that ends before a row: a range, as the source has it, unless they were shuffled."""
    offsets = dataset.offsets
    assert offsets is not None
    if not dataset.in_order:
        return lambda row: row + offsets
    lookback = -int(offsets[0])
    step = lookback // len(offsets)
    return lambda row: range(row - lookback, row, step)
