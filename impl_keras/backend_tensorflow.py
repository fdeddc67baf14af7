"""Keras on TensorFlow: tf.data feeds fit, tf.function compiles the step (with XLA where Keras' own "auto" says so)."""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.data.windows import Dataset, Indices
from bench.implementation import Device, Kernel
from bench.workload import Precision
from impl_keras import masks, trace
from impl_keras.data import Batch, common_size

SPARSE_GRADIENT = (
    "the embedding's gradient left as Keras leaves it here, one slice for each occurrence of a word, squared one by "
    "one (other mathematics: it fails the parity gate)"
)
PREFETCHED = 2
"""Batches made ahead: one waits while the next is made."""


class RMSprop(keras.optimizers.RMSprop):
    """Keras' own, given the sum of an embedding's gradient per word instead of one slice for each occurrence."""

    exchanging = True

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        super().apply([tf.convert_to_tensor(gradient) for gradient in grads], trainable_variables)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Where what is traced leaves every replica's gradients where they are."""
        self.exchanging = False
        try:
            yield
        finally:
            self.exchanging = True

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:  # Keras 3.15's name for the exchange
        return super()._all_reduce_sum_gradients(grads_and_vars) if self.exchanging else grads_and_vars


def configure(device: Device, threads: int, precision: Precision, devices: int = 1) -> None:
    """Raises RuntimeError when the GPU asked for is not there, or when TensorFlow already runs otherwise."""
    if device == "cpu":
        # Before the first look at the devices: Keras decides on XLA by those that exist, not by those in use.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise RuntimeError("this TensorFlow sees no GPU; install tensorflow[and-cuda] and make a GPU visible")
    if device == "cpu" and tf.config.get_visible_devices("GPU"):
        raise RuntimeError("TensorFlow took a GPU before a session on the CPU was opened; open it in a new process")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if device == "cpu" and devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


def several(devices: int, device: Device) -> Any:
    """What trains on several devices."""
    from impl_keras import mirrored  # which needs this module

    return mirrored.Devices(devices, device)


def versions() -> dict[str, str]:
    """Read from TensorFlow."""
    return {
        "tensorflow": tf.__version__,
        "devices": ", ".join(device.name for device in tf.config.list_logical_devices()),
        "intra-op threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
        "inter-op threads": str(tf.config.threading.get_inter_op_parallelism_threads()),
        "TF32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unset (on where the processor has it)"),
    }


def device_peak_memory_bytes() -> int | None:
    """Of the first GPU; None on the CPU."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def kernels(run: Callable[[], None]) -> list[Kernel]:
    """What runs on the GPU meanwhile, as TensorFlow's profiler sees it."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        return in_trace(trace.file_in(Path(folder)).read_bytes())


def in_trace(written: bytes) -> list[Kernel]:
    """What ran on the GPU."""
    format_ = importlib.import_module(
        "tensorflow.tsl.profiler.protobuf.xplane_pb2"
    )  # here: no cell imports it for less
    return trace.on_gpu(
        (
            plane.name,
            line.name,
            plane.event_metadata[event.metadata_id].name,
            start_s,
            start_s + event.duration_ps * 1e-12,
        )
        for plane in format_.XSpace.FromString(written).planes
        for line in plane.lines
        for event in line.events
        for start_s in [line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12]
    )


def waited(operation: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """The operation as a compiled function whose result is waited for."""
    compiled = tf.function(operation)

    def run(*operands: tf.Tensor) -> tf.Tensor:
        found = compiled(*operands)
        tf.test.experimental.sync_devices()
        return found

    return run


def without_tuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same elements without tf.data's autotuning.

    Its thread looks at a pipeline 10 ms after it began, then after 20 more, 40 more and so on. In TensorFlow 2.21 the
    end of a pipeline at times waits for the next look: an epoch of 5.2 s was then over after 10.25 s, one of 15 s after
    20.5 s. Without the tuner none of 46 epochs waited, and a step took as long as before.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


class Data:
    """The data set in host memory, where tf.data gathers; `batch` hands its result to the device."""

    def __init__(self, dataset: Dataset) -> None:
        floatx = keras.config.floatx()
        with tf.device("CPU:0"):
            inputs = dataset.inputs if dataset.offsets is None else dataset.inputs.astype(floatx)
            self._inputs = tf.constant(inputs)
            self._targets = tf.constant(dataset.targets.astype(floatx)[:, None])
            self._offsets = None if dataset.offsets is None else tf.constant(dataset.offsets)
        self._device = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")

    def batch(self, indices: Indices) -> Batch:
        with tf.device("CPU:0"):
            inputs, targets = self.gather(indices)
        with tf.device(self._device[0].name):
            return tf.identity(inputs), tf.identity(targets)

    def feed(self, batches: Sequence[Indices]) -> tf.data.Dataset:
        """ValueError when the batches differ in size (the last may be shorter)."""
        size = common_size(batches)
        samples = tf.data.Dataset.from_tensor_slices(np.concatenate(batches))
        # With nothing to drop, "drop" only tells the batch size to the compiler: loops over time run faster for it.
        batched = samples.batch(size, drop_remainder=len(batches[-1]) == size)
        return without_tuner(batched.map(self.gather).prefetch(PREFETCHED))

    def gather(self, indices: Any) -> Batch:
        """In a graph too, of symbolic indices."""
        rows = indices if self._offsets is None else tf.expand_dims(indices, 1) + self._offsets  # (B,) or (B, T)
        return tf.gather(self._inputs, rows), tf.gather(self._targets, indices)


class Trainer:
    """The weights always live in the model's variables here."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.trace_again()

    def trace_again(self) -> None:
        """After a change that compiled functions do not see, such as other dropout masks."""
        self.model.make_train_function(force=True)
        self._loss_and_gradients = tf.function(self._differentiated, jit_compile=self.model.jit_compile)
        self._forward = tf.function(self._training_forward, jit_compile=self.model.jit_compile)

    def step(self, batch: Batch) -> None:
        """One call of the function that fit calls, which returns before a GPU is done."""
        self.model.train_function([batch])

    def settle(self) -> None:
        """Nothing to do: see JAX."""

    def synchronise(self) -> None:
        tf.test.experimental.sync_devices()

    def predict(self, inputs: Any) -> Any:
        """Evaluation-mode predictions (B, 1)."""
        return self.model.predict_on_batch(inputs)

    def loss_and_gradients(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        """Predictions (B, 1), loss, dense gradients in the order of `model.trainable_variables`."""
        return self._loss_and_gradients(inputs, targets)

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Training-mode predictions (B, 1) and the masks used."""
        return self._forward(inputs)

    def _differentiated(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            loss = self.model.compute_loss(inputs, targets, outputs)
        gradients = tape.gradient(loss, self.model.trainable_weights)
        return outputs, loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _training_forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        with masks.recorded(self.model) as used:
            outputs = self.model(inputs, training=True)
        return outputs, used
