"""Keras on JAX: the whole training step is one jitted function from state to state, its state donated."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras

from bench.data.windows import Dataset, Indices
from bench.implementation import Device, Precision
from impl_keras import masks
from impl_keras.data import Batch, Feed

SPARSE_GRADIENT = None
RMSprop = keras.optimizers.RMSprop


def configure(device: Device, threads: int, precision: Precision) -> None:
    """Raises RuntimeError when the device asked for is not the one JAX runs on.

    JAX has no call for its number of `threads`: `NPROC`, set for the process, sizes XLA's pools.
    """
    jax.config.update("jax_enable_x64", precision == "float64")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    else:
        jax.config.update("jax_default_matmul_precision", "highest")  # TF32 off; a CPU has none
    if jax.default_backend() != device:
        raise RuntimeError(
            f"this JAX runs on {jax.default_backend()!r}, asked for was {device!r}; install jax[cuda] and make a "
            "GPU visible, or open the session in a new process"
        )


def versions() -> dict[str, str]:
    """Read from JAX and, for the threads, from the operating system."""
    return {
        "jax": jax.__version__,
        "jaxlib": metadata.version("jaxlib"),
        "devices": ", ".join(device.device_kind for device in jax.devices()),
        "XLA threads": _xla_threads(),
        "jax_enable_x64": str(jax.config.jax_enable_x64),
        "jax_default_matmul_precision": str(jax.config.jax_default_matmul_precision),
        "jax_compilation_cache_dir": "on" if jax.config.jax_compilation_cache_dir else "off",
    }


def _xla_threads() -> str:
    if not Path("/proc/self/task").is_dir():
        return "not readable on this system"
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return str(names.count("tf_XLAEigen"))


def device_peak_memory_bytes() -> int | None:
    """Of the first device; None where its allocator keeps no account (the CPU's does not)."""
    account = jax.local_devices()[0].memory_stats()
    return None if account is None else int(account["peak_bytes_in_use"])


_matmul = jax.jit(keras.ops.matmul)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Their product, waited for."""
    return jax.block_until_ready(_matmul(a, b))


@jax.jit
def _gather(inputs: jax.Array, targets: jax.Array, offsets: jax.Array | None, indices: jax.Array) -> Batch:
    rows = indices if offsets is None else indices[:, None] + offsets  # (B,) or (B, T)
    return inputs[rows], targets[indices]


class Data:
    """The data set on the device; one jitted gather a batch."""

    def __init__(self, dataset: Dataset) -> None:
        floatx = keras.config.floatx()
        self._inputs = jnp.asarray(dataset.inputs, None if dataset.offsets is None else floatx)
        self._targets = jnp.asarray(dataset.targets, floatx)[:, None]
        self._offsets = None if dataset.offsets is None else jnp.asarray(dataset.offsets)

    def batch(self, indices: Indices) -> Batch:
        return _gather(self._inputs, self._targets, self._offsets, indices)

    def feed(self, batches: Sequence[Indices]) -> Feed:
        return Feed(self.batch, batches)


class Trainer:
    """Between `step` and `settle` the weights live in `_state`, and the model's variables hold donated buffers."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._state: tuple[list[jax.Array], ...] | None = None
        zero = jnp.zeros((1, 1), keras.config.floatx())
        model.compute_metrics(None, zero, zero)  # makes the metrics' variables, which are part of the state
        model.reset_metrics()
        self.trace_again()

    def trace_again(self) -> None:
        """After a change that compiled functions do not see, such as other dropout masks."""
        self.settle()
        self.model.make_train_function(force=True)
        self._loss_and_gradients = jax.jit(jax.value_and_grad(self._loss, has_aux=True))
        self._forward = jax.jit(self._training_forward)

    def step(self, batch: Batch) -> None:
        """One call of the function that fit calls, which returns before the device is done."""
        if self._state is None:
            self._state = tuple([variable.value for variable in group] for group in self._variables())
        _, self._state = self.model.train_function(self._state, iter((batch,)))

    def settle(self) -> None:
        """Puts the state back into the model's variables, where everything but `step` reads it."""
        if self._state is not None:
            for group, values in zip(self._variables(), self._state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)
            self._state = None

    def synchronise(self) -> None:
        jax.block_until_ready(self._state or [variable.value for variable in self.model.variables])

    def loss_and_gradients(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        """Predictions (B, 1), loss, gradients in the order of `model.trainable_variables`."""
        trainable, fixed, _, _ = ([variable.value for variable in group] for group in self._variables())
        (loss, (outputs, fixed)), gradients = self._loss_and_gradients(trainable, fixed, inputs, targets)
        self._keep_random_state(fixed)
        return outputs, loss, gradients

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Training-mode predictions (B, 1) and the masks used."""
        trainable, fixed, _, _ = ([variable.value for variable in group] for group in self._variables())
        outputs, fixed, used = self._forward(trainable, fixed, inputs)
        self._keep_random_state(fixed)
        return outputs, used

    def _loss(self, trainable: list[Any], fixed: list[Any], inputs: Any, targets: Any) -> tuple[Any, tuple[Any, Any]]:
        outputs, fixed = self.model.stateless_call(trainable, fixed, inputs, training=True)
        return self.model.compute_loss(inputs, targets, outputs), (outputs, fixed)

    def _training_forward(self, trainable: list[Any], fixed: list[Any], inputs: Any) -> tuple[Any, Any, dict[str, Any]]:
        with masks.recorded(self.model) as used:
            outputs, fixed = self.model.stateless_call(trainable, fixed, inputs, training=True)
        return outputs, fixed, used

    def _keep_random_state(self, fixed: list[Any]) -> None:
        for variable, value in zip(self.model.non_trainable_variables, fixed, strict=True):
            variable.assign(value)

    def _variables(self) -> tuple[list[keras.Variable], ...]:
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
