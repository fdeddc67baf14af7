"""The Session of native PyTorch, eager or through torch.compile: the loop a PyTorch user writes, data on the device."""

import contextlib
import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.windows import Dataset, Indices
from bench.implementation import Arrays, Kernel, Metrics, Setup, State
from impl_torch import losses, team
from impl_torch.device import configure, kernels
from impl_torch.model import Model
from impl_torch.optimizer import RMSprop
from impl_torch.recurrent import GRU, LSTM, ONE_GRAPH, PART, Masks, in_parts

Batch = tuple[Tensor, Tensor]
SAMPLES = 1
"""Axis of a mask (gate, sample, feature or unit)."""


def open_session(setup: Setup) -> "TorchSession":
    """Opens a session; a RuntimeError says so when the device asked for is not there."""
    return TorchSession(setup)


class TorchSession:
    """See `bench.implementation.Session` for what every method promises."""

    def __init__(self, setup: Setup) -> None:
        devices = setup.workload.devices
        self.device = team.own_device(
            devices, configure(setup.device, max(1, setup.threads // devices), setup.precision)
        )
        self.team = team.join(setup, self.device)
        torch.manual_seed(setup.seed)
        self.workload = setup.workload
        self.dtype = torch.float64 if setup.precision == "float64" else torch.float32
        bf16 = functools.partial(torch.autocast, self.device.type, torch.bfloat16)
        self.autocast = bf16 if setup.precision == "bf16" else contextlib.nullcontext
        self.model = Model(setup.workload).to(self.device, self.dtype)
        self.optimizer = RMSprop(self.model.parameters(), setup.workload.optimizer)
        self.masks: Masks | None = None
        self.totals = {name: torch.zeros((), dtype=self.dtype, device=self.device) for name in setup.workload.metrics}
        self.samples = 0

        self.network: Callable[[Tensor, Masks | None], Tensor] = self.model
        self.forward: Callable[..., tuple[Tensor, Tensor]] = self._forward
        self.update = self.optimizer.step
        self.compiled = self._compile() if setup.arm.name == "torch-compile" else "nothing"
        self.forward = self.team.spread(self.model, self.forward)

    def versions(self) -> dict[str, str]:
        return {
            "torch": torch.__version__,
            "torch threads": str(torch.get_num_threads()),
            "torch interop threads": str(torch.get_num_interop_threads()),
            "float32 matmul precision": torch.get_float32_matmul_precision(),
            "cudnn allow_tf32": str(torch.backends.cudnn.allow_tf32),
            "autocast": "no" if self.autocast is contextlib.nullcontext else "bfloat16",
            "mkldnn": str(torch.backends.mkldnn.is_available()),
            "cuda": str(torch.version.cuda),
            "compiled": self.compiled,
            **self.team.describe(),
        }

    def summary(self) -> list[tuple[str, tuple[int, ...], int]]:
        dtype = torch.int32 if self.workload.input_shape[1:] == () else self.dtype
        x = torch.zeros(1, *self.workload.input_shape, dtype=dtype, device=self.device)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # a look is no reason to compile
            # channels stand before time here: (1, C, T) → (T, C)
            shapes = {name: tuple(reversed(output.shape[1:])) for name, output in self.model.outputs(x)}
        return [
            (name, shapes[name], sum(weight.numel() for weight in layer.parameters()))
            for name, layer in self.model.layers.items()
        ]

    def stage(self, dataset: Dataset) -> None:
        inputs = torch.from_numpy(dataset.inputs)
        self.inputs = inputs.to(self.device, self.dtype if inputs.is_floating_point() else inputs.dtype)
        self.targets = torch.from_numpy(dataset.targets).to(self.device, self.dtype)
        self.offsets = None if dataset.offsets is None else torch.from_numpy(dataset.offsets).to(self.device)

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        self.batches = [self._gather(indices) for indices in self._indices(batches)]

    def train_step(self, number: int) -> None:
        self._step(*self.batches[number % len(self.batches)])

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        self._start()
        for indices in self._indices(batches):
            self._step(*self._gather(indices))
        return self._means()

    @torch.no_grad()
    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        self._start()
        for indices in self._indices(batches):
            inputs, targets = self._gather(indices)
            outputs, loss = self.forward(inputs, targets, None)
            self._count(outputs, targets, loss)
        return self._means()

    @torch.no_grad()
    def predict(self, inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        batch = self._tensor(inputs)
        outputs, _ = self.forward(batch, batch.new_zeros(len(batch), dtype=self.dtype), None)
        return outputs.cpu().numpy()

    def loss_and_gradients(
        self, inputs: NDArray[np.generic], targets: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], float, Arrays]:
        batch, share = self.team.part(self._tensor(inputs)), self.team.part(self._tensor(targets))
        self.optimizer.zero_grad()
        outputs, loss = self.forward(batch, share, self._masks(len(batch)))
        loss.backward()
        outputs, loss = self.team.whole(outputs.detach()), self.team.sums(loss.detach()) / self.team.size
        gradients = self.model.canonical(of=lambda weight: weight.grad.to_dense())
        return outputs.cpu().numpy(), loss.item(), {name: g.cpu().numpy() for name, g in gradients.items()}

    def training_forward(self, inputs: NDArray[np.generic]) -> tuple[NDArray[np.floating], Arrays]:
        batch = self.team.part(self._tensor(inputs))
        masks = self._masks(len(batch))
        outputs, _ = self.forward(batch, batch.new_zeros(len(batch), dtype=self.dtype), masks)
        drawn = {name: self.team.whole(mask, SAMPLES).cpu().numpy() for name, mask in (masks or {}).items()}
        return self.team.whole(outputs.detach()).cpu().numpy(), drawn

    def set_masks(self, masks: Arrays | None) -> None:
        given = None if masks is None else {name: self._tensor(mask) for name, mask in masks.items()}
        self.masks = None if given is None else self._own(given)

    def get_weights(self) -> Arrays:
        return {name: weight.cpu().numpy().copy() for name, weight in self.model.canonical().items()}

    def reset(self, weights: Arrays) -> None:
        self.model.load_canonical({name: self._tensor(weight) for name, weight in weights.items()})
        self.optimizer.reset()
        self._start()

    def get_state(self) -> State:
        state = {name: tensor.numpy(force=True).copy() for name, tensor in self._trained().items()}
        state["random.cpu"] = torch.get_rng_state().numpy()
        if self.device.type == "cuda":
            state["random.cuda"] = torch.cuda.get_rng_state(self.device).numpy()
        return state

    @torch.no_grad()
    def set_state(self, state: State) -> None:
        for name, tensor in self._trained().items():
            tensor.copy_(self._tensor(state[name]))
        torch.set_rng_state(torch.from_numpy(np.array(state["random.cpu"])))
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(np.array(state["random.cuda"])), self.device)
        self._start()

    def local_step(self, number: int) -> None:
        with self.team.apart():
            self.train_step(number)

    def agreed(self, value: float) -> float:
        return self.team.first(value)

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def aside(self) -> None:
        return None

    def kernels(self, run: Callable[[], None]) -> list[Kernel] | None:
        return kernels(run) if self.device.type == "cuda" else None

    def device_peak_memory_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None

    def _compile(self) -> str:
        """Lets the compiler have what it is fast with and done with in a minute or two; says in words what that is."""
        torch.compiler.reset()  # the limit on recompilations counts a function's, over all sessions of the process
        # fullgraph turns a graph break or too many recompilations into an error instead of a silent eager run.
        compiled = functools.partial(torch.compile, fullgraph=True, dynamic=False)
        self.update = compiled(self.optimizer.step)
        layers = list(self.model.layers.values())
        if any(isinstance(layer, LSTM) for layer in layers):
            return "the optimizer step"
        long = [layer for layer in layers if isinstance(layer, GRU) and layer.steps > ONE_GRAPH]
        for layer in long:
            layer.over_time = in_parts(compiled(layer.over_time))
        if long:
            return f"{PART} time steps of the recurrence as one graph; the optimizer step"
        self.forward = compiled(self._forward)
        return "forward and loss as one graph; the optimizer step"

    def _forward(self, inputs: Tensor, targets: Tensor, masks: Masks | None) -> tuple[Tensor, Tensor]:
        with self.autocast():
            outputs = self.network(inputs, masks)
        outputs = outputs.to(self.dtype)
        return outputs, losses.loss(self.workload, outputs, targets)

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        self.optimizer.zero_grad()
        outputs, loss = self.forward(inputs, targets, self._masks(len(inputs)))
        loss.backward()
        self.update()
        self._count(outputs.detach(), targets, loss.detach())

    def _trained(self) -> dict[str, Tensor]:
        """Every parameter and its mean square."""
        parameters = dict(self.model.named_parameters())
        squares = {name: self.optimizer.state[parameter]["square"] for name, parameter in parameters.items()}
        return parameters | {f"{name}.square": square for name, square in squares.items()}

    def _masks(self, samples: int) -> Masks | None:
        """Of the samples of this device: every process draws those of the whole batch, the same ones."""
        return self.masks or self._own(self.model.sample_masks(samples * self.team.size)) or None

    def _own(self, masks: Masks) -> Masks:
        return {name: self.team.part(mask, SAMPLES) for name, mask in masks.items()}

    def _start(self) -> None:
        self.samples = 0
        for total in self.totals.values():
            total.zero_()

    def _count(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        # Sums stay on the device: reading one here would make every step wait.
        self.samples += len(targets)
        self.totals["loss"] += loss * len(targets)
        if "accuracy" in self.totals:
            self.totals["accuracy"] += losses.correct(self.workload, outputs, targets)

    def _means(self) -> Metrics:
        counted = torch.stack([*self.totals.values(), torch.full_like(self.totals["loss"], self.samples)])
        *totals, samples = self.team.sums(counted).tolist()
        return {name: total / samples for name, total in zip(self.totals, totals, strict=True)}

    def _indices(self, batches: Sequence[Indices]) -> tuple[Tensor, ...]:
        on_device = torch.from_numpy(np.concatenate(batches)).to(self.device)  # one transfer for all batches
        return tuple(self.team.part(batch) for batch in on_device.split([len(indices) for indices in batches]))

    def _gather(self, indices: Tensor) -> Batch:
        if self.offsets is None:
            return self.inputs.index_select(0, indices), self.targets.index_select(0, indices)
        rows = (indices.unsqueeze(1) + self.offsets).flatten()  # (B·T,)
        windows = self.inputs.index_select(0, rows).unflatten(0, (len(indices), -1))  # (B, T, C)
        return windows, self.targets.index_select(0, indices)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.array(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)
