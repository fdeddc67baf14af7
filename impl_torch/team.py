"""Several devices that train one model: a process for each, which torchrun starts, and what they exchange.

Every process has the whole model, the whole data set and the whole batch's dropout masks before it, and takes its own
part of each batch; DistributedDataParallel gives all of them the mean gradient. Alone, nothing is shared or exchanged.
Processes go through a session in step: each calls the same methods in the same order.
"""

import atexit
import contextlib
import os
from collections.abc import Callable

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bench.implementation import Setup

Forward = Callable[..., tuple[Tensor, Tensor]]


class Alone:
    """One process, one device."""

    size = 1
    place = 0

    def spread(self, model: nn.Module, forward: Forward) -> Forward:
        """The function whose backward pass leaves the mean gradient of all devices in `model`."""
        return forward

    def part(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """This device's part of what belongs to a batch, whose samples lie along `dim`."""
        return tensor

    def whole(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """All devices' parts, put together along `dim`."""
        return tensor

    def sums(self, values: Tensor) -> Tensor:
        """Over all devices."""
        return values

    def first(self, value: float) -> float:
        """As the first process has it, once every process is there."""
        return value

    def apart(self) -> contextlib.AbstractContextManager[None]:
        """Where gradients stay on their device."""
        return contextlib.nullcontext()

    def describe(self) -> dict[str, str]:
        """In words, for the result; of one device, nothing."""
        return {}


class Team(Alone):
    """One of the processes that torchrun has started, over gloo on CPUs and NCCL on GPUs."""

    def __init__(self, size: int, device: torch.device) -> None:
        """RuntimeError unless torchrun has started `size` of them."""
        started = os.environ.get("WORLD_SIZE", "1")
        if started != str(size):
            raise RuntimeError(
                f"{size} devices need as many processes, torchrun has started {started}; start them with "
                f"python -m impl_torch.launch {size} MODULE …"
            )
        if not torch.distributed.is_initialized():  # a process may open several sessions
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(torch.distributed.destroy_process_group)
        self.size, self.place, self._device = size, torch.distributed.get_rank(), device
        self._parallel: DistributedDataParallel | None = None

    def spread(self, model: nn.Module, forward: Forward) -> Forward:
        # The only buffer, of nn.LSTM, never changes: nothing has to be sent before a forward pass.
        self._parallel = DistributedDataParallel(_Called(model, forward), forward_sync_buffers=False)
        return self._parallel

    def part(self, tensor: Tensor, dim: int = 0) -> Tensor:
        return tensor.tensor_split(self.size, dim)[self.place]

    def whole(self, tensor: Tensor, dim: int = 0) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        torch.distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts, dim)

    def sums(self, values: Tensor) -> Tensor:
        torch.distributed.all_reduce(values)
        return values

    def first(self, value: float) -> float:
        # A sum and no broadcast: that would let the first process go on before the others are there.
        told = torch.tensor(value if self.place == 0 else 0.0, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(told)
        return told.item()

    def apart(self) -> contextlib.AbstractContextManager[None]:
        assert self._parallel is not None, "spread comes first"
        return self._parallel.no_sync()

    def describe(self) -> dict[str, str]:
        return {"data parallel": f"{self.size} processes, {torch.distributed.get_backend()}"}


class _Called(nn.Module):
    """A function of a model as a module, which is what gradients are exchanged for."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model, self._called = model, forward

    def forward(self, *arguments: object) -> tuple[Tensor, Tensor]:
        return self._called(*arguments)


def join(setup: Setup, device: torch.device) -> Alone:
    """The team of this session's process."""
    return Team(setup.workload.devices, device) if setup.workload.devices > 1 else Alone()


def own_device(devices: int, device: torch.device) -> torch.device:
    """Of several, the GPU of this process, which then is the one that PyTorch computes on; a CPU is everybody's."""
    if devices == 1 or device.type == "cpu":
        return device
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
