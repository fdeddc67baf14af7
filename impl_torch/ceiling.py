"""What native PyTorch reaches: products and passes over memory, on tensors that stay on the device."""

import importlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.implementation import Ceilings, Device
from impl_torch.device import configure


def open_ceiling(device: Device, threads: int) -> Ceilings:
    """Threads and precision as `session` sets them; a RuntimeError says so when the device asked for is not there."""
    where = configure(device, threads, "float32")

    def waited(operation: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            found = operation()
            if found.is_cuda:
                torch.cuda.synchronize()
            return found

        return run

    def product(size: int) -> Callable[[], Tensor]:
        values = np.random.default_rng(size).standard_normal((2, size, size), np.float32)
        a, b = torch.from_numpy(values).to(where)
        return waited(lambda: torch.matmul(a, b))

    def stream(moved_bytes: int) -> Callable[[], Tensor]:
        array = torch.ones(moved_bytes // 8, device=where)
        made = torch.empty_like(array)
        return waited(lambda: torch.mul(array, 2, out=made))

    def chain(operations: int) -> Callable[[], Tensor]:
        start = torch.ones(1, device=where)
        return waited(lambda: importlib.import_module("impl_torch.triton_chain").chain(start, operations))

    return Ceilings(product, stream, chain if where.type == "cuda" else None)
