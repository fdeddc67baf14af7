"""How fast native PyTorch multiplies matrices: torch.matmul on tensors that stay on the device."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.implementation import Ceiling, Device
from impl_torch.device import configure


def open_ceiling(device: Device, threads: int) -> Ceiling:
    """Threads and precision as `session` sets them; a RuntimeError says so when the device asked for is not there."""
    where = configure(device, threads)

    def ceiling(size: int) -> Callable[[], Tensor]:
        values = np.random.default_rng(size).standard_normal((2, size, size), np.float32)
        a, b = torch.from_numpy(values).to(where)

        def product() -> Tensor:
            found = torch.matmul(a, b)
            if found.is_cuda:
                torch.cuda.synchronize()
            return found

        return product

    return ceiling
