"""Keras on TensorFlow over several devices: MirroredStrategy in one process, a replica of the model on each device.

A replica sees its own part of a batch only. Left alone, it would draw dropout masks for that part, the same in every
replica; here it draws those of the whole batch and takes its part of them.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.data.windows import Dataset, Indices
from bench.implementation import Device
from impl_keras import backend_tensorflow, masks
from impl_keras.backend_tensorflow import PREFETCHED, without_tuner
from impl_keras.data import Batch, common_size


class Devices:
    """So many of TensorFlow's."""

    def __init__(self, count: int, device: Device) -> None:
        """RuntimeError where TensorFlow has fewer."""
        found = tuple(each.name for each in tf.config.list_logical_devices(device.upper()))
        if len(found) < count:
            raise RuntimeError(f"this TensorFlow has {len(found)} devices, asked for were {count}")
        self.strategy = _strategy(found[:count])

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where models and optimisers are made."""
        scope: contextlib.AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def data(self, dataset: Dataset) -> "Data":
        """The data set staged."""
        return Data(dataset, self.strategy)

    def trainer(self, model: keras.Model) -> "Trainer":
        """Trains a model that was made in the scope."""
        return Trainer(model)

    @staticmethod
    def part(mask: Any) -> Any:
        """This replica's samples of a mask (B, features) of the whole batch."""
        return part(mask)

    def describe(self) -> str:
        """In words, for the result."""
        return f"MirroredStrategy, {self.strategy.num_replicas_in_sync} replicas"


@functools.cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for all sessions: each counts its exchanges from the same number, and two of a number must be alike."""
    return tf.distribute.MirroredStrategy(devices)


def _of(strategy: tf.distribute.Strategy, context: Any) -> contextlib.AbstractContextManager[Any]:
    """Where a replica keeps what is its own; TensorFlow itself would put all of it on the first device."""
    place: contextlib.AbstractContextManager[Any] = tf.device(
        strategy.extended.worker_devices[context.replica_id_in_sync_group]
    )
    return place


class Data(backend_tensorflow.Data):
    """The data set in host memory; every replica is handed its own part of a batch."""

    def __init__(self, dataset: Dataset, strategy: tf.distribute.Strategy) -> None:
        super().__init__(dataset)
        self._strategy = strategy

    def batch(self, indices: Indices) -> Any:
        parts = np.split(indices, self._strategy.num_replicas_in_sync)

        def of_replica(context: Any) -> Batch:
            with tf.device("CPU:0"):
                inputs, targets = self.gather(parts[context.replica_id_in_sync_group])
            with _of(self._strategy, context):
                return tf.identity(inputs), tf.identity(targets)

        return self._strategy.experimental_distribute_values_from_function(of_replica)

    def feed(self, batches: Sequence[Indices]) -> Any:
        """ValueError when the batches differ in size (the last may be shorter).

        TensorFlow's own way with a short last batch gives all of it to the first replica and none to the others, whose
        mean loss is then no number; so the parts are made here.
        """
        size, count = common_size(batches), self._strategy.num_replicas_in_sync
        short = batches[-1:] if len(batches[-1]) != size else []
        whole = batches[: len(batches) - len(short)]
        parts = [self._cut(each, count) for each in (whole, short) if each]
        joined = parts[0] if len(parts) == 1 else parts[0].concatenate(parts[1])
        ready = without_tuner(joined.prefetch(PREFETCHED * count))
        return self._strategy.distribute_datasets_from_function(lambda context: ready)

    def _cut(self, batches: Sequence[Indices], count: int) -> tf.data.Dataset:
        """The parts of batches of one size, one after the other; a ValueError where a batch has no equal parts."""
        if len(batches[0]) % count:
            raise ValueError(f"batches of {len(batches[0])} samples have no {count} equal parts")
        samples = tf.data.Dataset.from_tensor_slices(np.concatenate(batches))
        return samples.batch(len(batches[0]) // count, drop_remainder=True).map(self.gather)


class Trainer(backend_tensorflow.Trainer):
    """Keras' own training step in every replica; what is asked for the gate runs in every replica too."""

    def __init__(self, model: keras.Model) -> None:
        self._strategy = model.distribute_strategy
        self._local: Callable[[Any], None] | None = None
        masks.share_out(model, _of_whole_batch)
        super().__init__(model)

    def local_step(self, batch: Batch) -> None:
        """A training step in which every replica updates its weights by its own gradients."""
        with self.model.optimizer.alone():
            if self._local is None:  # made as Keras makes the function that fit calls
                self._local = self.model._make_function(self.model.train_step)
            self._local([batch])

    def predict(self, inputs: Any) -> Any:
        return self.model(inputs, training=False)  # by the first replica's weights, which are everybody's

    def loss_and_gradients(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        outputs, losses, gradients = self._loss_and_gradients(self._parts(inputs), self._parts(targets))
        # A replica's loss is its part of the mean over the whole batch, and so is its gradient.
        return tf.concat(outputs, 0), tf.add_n(losses), [tf.add_n(parts) for parts in zip(*gradients, strict=True)]

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        outputs, used = self._forward(self._parts(inputs))
        return tf.concat(outputs, 0), {name: tf.concat([each[name] for each in used], 1) for name in used[0]}

    def _parts(self, whole: Any) -> Any:
        parts = tf.split(whole, self._strategy.num_replicas_in_sync)

        def of_replica(context: Any) -> Any:
            with _of(self._strategy, context):
                return tf.identity(parts[context.replica_id_in_sync_group])

        return self._strategy.experimental_distribute_values_from_function(of_replica)

    def _differentiated(self, inputs: Any, targets: Any) -> Any:
        found = self._strategy.run(super()._differentiated, args=(inputs, targets))
        return self._by_replica(found)

    def _training_forward(self, inputs: Any) -> Any:
        return self._by_replica(self._strategy.run(super()._training_forward, args=(inputs,)))

    def _by_replica(self, found: Any) -> Any:
        """Of a structure of values in all replicas: in the order of its parts, what each replica has."""
        count = self._strategy.num_replicas_in_sync

        def of(replica: int) -> Any:
            return tf.nest.map_structure(lambda value: self._strategy.experimental_local_results(value)[replica], found)

        return tuple(zip(*(of(replica) for replica in range(count)), strict=True))


def _of_whole_batch(draw: Callable[[Any, float], list[Any]], step_input: Any, share: float) -> list[Any]:
    """Draws the masks of the whole batch, which are the same in every replica, and takes this replica's part."""
    context = tf.distribute.get_replica_context()
    if context is None:  # Keras looks at shapes before it trains
        return draw(step_input, share)
    drawn = draw(tf.tile(step_input, (context.num_replicas_in_sync, 1)), share)
    return [part(mask) for mask in drawn]


def part(mask: Any) -> Any:
    """This replica's samples of a mask (B, features) of the whole batch."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return mask
    samples, features = mask.shape
    size = tf.shape(mask)[0] // context.num_replicas_in_sync
    first = context.replica_id_in_sync_group * size
    static = None if samples is None else samples // context.num_replicas_in_sync
    return tf.ensure_shape(mask[first : first + size], (static, features))
