"""Keras on PyTorch: eager, as Keras runs it by default.

`jit_compile=True` was tried: with Keras 3.15.1 and PyTorch 2.13 torch.compile of Keras' training step meets its
recompile limit in Keras' attribute tracking and then ends in an AssertionError of the tracer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch

from bench.data.windows import Dataset, Indices
from bench.implementation import Device, Kernel
from bench.workload import Precision
from impl_keras import masks
from impl_keras.data import Batch, Feed

SPARSE_GRADIENT = None
RMSprop = keras.optimizers.RMSprop
scopes: list[Any] = []
"""Device scopes that were entered."""


def configure(device: Device, threads: int, precision: Precision, devices: int = 1) -> None:
    """Raises RuntimeError when the GPU asked for is not there; Keras has no way to train on several `devices` here."""
    if devices > 1:
        raise RuntimeError("Keras on PyTorch trains on one device")
    if device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no CUDA device; use a CUDA build of PyTorch and a visible GPU")
    # Keras takes a visible GPU by itself. Its device scope is a context manager; this one lasts as long as the process.
    # The trap: it ends where nothing refers to it any more.
    scopes.append(keras.device(device))
    scopes[-1].__enter__()
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:  # may be set once in a process; by default all cores' worth
        torch.set_num_interop_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")  # TF32 for products …
    torch.backends.cudnn.allow_tf32 = precision == "tf32"  # … and for convolutions, where PyTorch has it on


several = None
"""What trains on several devices: Keras' fit does not on this backend."""


def versions() -> dict[str, str]:
    """Read from PyTorch."""
    return {
        "torch": torch.__version__,
        "torch threads": str(torch.get_num_threads()),
        "torch interop threads": str(torch.get_num_interop_threads()),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn allow_tf32": str(torch.backends.cudnn.allow_tf32),
        "mkldnn": str(torch.backends.mkldnn.is_available()),
        "cuda": str(torch.version.cuda),
    }


def device_peak_memory_bytes() -> int | None:
    """Of the current CUDA device; None on the CPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def kernels(run: Callable[[], None]) -> list[Kernel]:
    """What runs on the CUDA device meanwhile, as torch.profiler sees it."""
    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
        run()
    return [
        Kernel(event.name, event.time_range.start * 1e-6, event.time_range.end * 1e-6)  # µs
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]


def waited(operation: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The operation, eager as Keras runs it here, with its result waited for."""

    def run(*operands: torch.Tensor) -> torch.Tensor:
        found = operation(*operands)
        if found.is_cuda:
            torch.cuda.synchronize()
        return found

    return run


class Data:
    """The data set on the device; one gather a batch."""

    def __init__(self, dataset: Dataset) -> None:
        floatx = keras.config.floatx()
        self._inputs = _tensor(dataset.inputs, None if dataset.offsets is None else floatx)
        self._targets = _tensor(dataset.targets[:, None], floatx)
        self._offsets = None if dataset.offsets is None else _tensor(dataset.offsets, None)

    def batch(self, indices: Indices) -> Batch:
        return self._gather(_tensor(indices, None))

    def feed(self, batches: Sequence[Indices]) -> Feed:
        indices = _tensor(np.concatenate(batches), None)  # one transfer for all batches
        return Feed(self._gather, indices.split([len(batch) for batch in batches]))

    def _gather(self, indices: torch.Tensor) -> Batch:
        targets = self._targets.index_select(0, indices)
        if self._offsets is None:
            return self._inputs.index_select(0, indices), targets
        rows = (indices.unsqueeze(1) + self._offsets).flatten()  # (B·T,)
        return self._inputs.index_select(0, rows).unflatten(0, (len(indices), -1)), targets  # (B, T, C)


def _tensor(array: Any, dtype: str | None) -> torch.Tensor:
    return keras.ops.convert_to_tensor(np.array(array), dtype)  # a copy: PyTorch must not share a read-only array


class Trainer:
    """The weights always live in the model's variables here."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.trace_again()

    def trace_again(self) -> None:
        """Nothing is traced; makes the function that fit calls."""
        self.model.make_train_function(force=True)

    def step(self, batch: Batch) -> None:
        """One call of the function that fit calls, which returns before a GPU is done."""
        self.model.train_function([batch])

    def settle(self) -> None:
        """Nothing to do: see JAX."""

    def synchronise(self) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()

    def predict(self, inputs: Any) -> Any:
        """Evaluation-mode predictions (B, 1)."""
        return self.model.predict_on_batch(inputs)

    def loss_and_gradients(self, inputs: Any, targets: Any) -> tuple[Any, Any, list[Any]]:
        """Predictions (B, 1), loss, gradients in the order of `model.trainable_variables`."""
        self.model.zero_grad()
        outputs = self.model(inputs, training=True)
        loss = self.model.compute_loss(inputs, targets, outputs)
        loss.backward()
        return outputs, loss, [variable.value.grad for variable in self.model.trainable_variables]

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Training-mode predictions (B, 1) and the masks used."""
        with torch.no_grad(), masks.recorded(self.model) as used:
            return self.model(inputs, training=True), used
