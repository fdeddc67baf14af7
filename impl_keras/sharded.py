"""Keras on JAX over several devices: keras.distribution.DataParallel, in one process and one program for all of them.

A batch lies in parts on the devices, weights and data set lie whole on each. The program is that of the whole batch:
XLA adds the exchange of gradients, and draws of the dropout masks what each device needs.
"""

import contextlib
from typing import Any

import jax
import keras
from jax.sharding import NamedSharding, PartitionSpec

from bench.data.windows import Dataset, Indices
from impl_keras import backend_jax
from impl_keras.data import Batch


class Devices:
    """So many of JAX's, which all of this process' models are spread over from now on."""

    def __init__(self, count: int) -> None:
        """RuntimeError where JAX has fewer."""
        found = keras.distribution.list_devices()
        if len(found) < count:
            raise RuntimeError(f"this JAX has {len(found)} devices, asked for were {count}; open it in a new process")
        distribution = keras.distribution.DataParallel(devices=found[:count])
        keras.distribution.set_distribution(distribution)
        self.mesh, self.axis = distribution.device_mesh.backend_mesh, distribution.batch_dim_name
        self.in_parts = NamedSharding(self.mesh, PartitionSpec(self.axis))
        self.on_each = NamedSharding(self.mesh, PartitionSpec())

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where models and optimisers are made: anywhere, once this object is."""
        return contextlib.nullcontext()

    def data(self, dataset: Dataset) -> "Data":
        """The data set staged."""
        return Data(dataset, self)

    def trainer(self, model: keras.Model) -> "Trainer":
        """Trains a model that was made in the scope."""
        return Trainer(model, self)

    @staticmethod
    def part(mask: Any) -> Any:
        """Of a mask (B, features) of the whole batch: all of it, as the program is that of the whole batch."""
        return mask

    def describe(self) -> str:
        """In words, for the result."""
        return f"keras.distribution.DataParallel, {len(self.mesh.devices.flat)} devices"


class Data(backend_jax.Data):
    """The data set on every device; each gathers its own part of a batch."""

    def __init__(self, dataset: Dataset, devices: Devices) -> None:
        super().__init__(dataset)
        self.arrays = jax.device_put(self.arrays, devices.on_each)
        self._own = jax.jit(backend_jax.gathered, out_shardings=devices.in_parts)

    def batch(self, indices: Indices) -> Batch:
        found: Batch = self._own(*self.arrays, indices)
        return found


class Trainer(backend_jax.Trainer):
    """As on one device, but for where a batch lies."""

    def __init__(self, model: keras.Model, devices: Devices) -> None:
        self._devices, self._local = devices, None
        super().__init__(model)

    def local_step(self, batch: Batch) -> None:
        """A training step in which every device knows of its own part of the batch only."""
        if self._local is None:
            each, part = PartitionSpec(), PartitionSpec(self._devices.axis)
            # What comes out differs from device to device: `check_vma` would say so.
            program = jax.shard_map(
                self.model.train_step,
                mesh=self._devices.mesh,
                in_specs=(each, part),
                out_specs=each,
                check_vma=False,
            )
            self._local = jax.jit(program, donate_argnums=0)
        _, self._state = self._local(self.state(), batch)

    def loss_and_gradients(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        return super().loss_and_gradients(*jax.device_put((inputs, targets), self._devices.in_parts))

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        return super().forward(jax.device_put(inputs, self._devices.in_parts))
