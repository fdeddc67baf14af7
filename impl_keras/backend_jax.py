"""Keras on JAX: the whole training step is one jitted function from state to state, its state donated."""

import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras

from bench.data.windows import Dataset, Indices
from bench.implementation import Device, Kernel
from bench.workload import Precision
from impl_keras import masks, trace
from impl_keras.data import Batch, Feed

SPARSE_GRADIENT = None
RMSprop = keras.optimizers.RMSprop


def configure(device: Device, threads: int, precision: Precision, devices: int = 1) -> None:
    """Raises RuntimeError when the device asked for is not the one JAX runs on.

    JAX has no call for its number of `threads`: `NPROC`, set for the process, sizes XLA's pools. Of a CPU it makes as
    many `devices` as it is told before it looks at it.
    """
    if device == "cpu" and devices > 1 and jax.config.jax_num_cpu_devices != devices:
        jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_enable_x64", precision == "float64")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    else:
        # A CPU has no TF32. "highest" is without it; None lets XLA use it wherever it can, "tensorfloat32" not quite.
        jax.config.update("jax_default_matmul_precision", None if precision == "tf32" else "highest")
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


def kernels(run: Callable[[], None]) -> list[Kernel]:
    """What runs on the GPU meanwhile, as JAX's profiler sees it."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        return in_trace(jax.profiler.ProfileData.from_file(str(trace.file_in(Path(folder)))))


def in_trace(found: jax.profiler.ProfileData) -> list[Kernel]:
    """What ran on the GPU."""
    return trace.on_gpu(
        (plane.name, line.name, event.name, event.start_ns * 1e-9, event.end_ns * 1e-9)
        for plane in found.planes
        for line in plane.lines
        for event in line.events
    )


def waited(operation: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The operation as a compiled function whose result is waited for."""
    compiled = jax.jit(operation)
    return lambda *operands: jax.block_until_ready(compiled(*operands))


def several(devices: int, device: Device) -> Any:
    """What trains on several devices."""
    from impl_keras import sharded  # sets Keras' distribution, which one device has no use for

    return sharded.Devices(devices)


def gathered(inputs: jax.Array, targets: jax.Array, offsets: jax.Array | None, indices: jax.Array) -> Batch:
    """Inputs and targets of a batch."""
    rows = indices if offsets is None else indices[:, None] + offsets  # (B,) or (B, T)
    return inputs[rows], targets[indices]


_gather = jax.jit(gathered)


class Data:
    """The data set on the device; one jitted gather a batch."""

    def __init__(self, dataset: Dataset) -> None:
        floatx = keras.config.floatx()
        self.arrays = (
            jnp.asarray(dataset.inputs, None if dataset.offsets is None else floatx),
            jnp.asarray(dataset.targets, floatx)[:, None],
            None if dataset.offsets is None else jnp.asarray(dataset.offsets),
        )

    def batch(self, indices: Indices) -> Batch:
        return _gather(*self.arrays, indices)

    def gather(self, arrays: Any, indices: Any) -> Batch:
        """In a compiled function, which is given `arrays` and does not keep a copy of them."""
        return _gather(*arrays, indices)

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
        _, self._state = self.model.train_function(self.state(), iter((batch,)))

    def state(self) -> tuple[list[jax.Array], ...]:
        """What a step goes on from; its buffers are donated to the step."""
        if self._state is None:
            self._state = tuple([variable.value for variable in group] for group in self._variables())
        return self._state

    def settle(self) -> None:
        """Puts the state back into the model's variables, where everything but `step` reads it."""
        if self._state is not None:
            for group, values in zip(self._variables(), self._state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)
            self._state = None

    def synchronise(self) -> None:
        jax.block_until_ready(self._state or [variable.value for variable in self.model.variables])

    def predict(self, inputs: Any) -> Any:
        """Evaluation-mode predictions (B, 1)."""
        return self.model.predict_on_batch(inputs)

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
