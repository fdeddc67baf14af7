"""A workload as a PyTorch module: one submodule a layer, channels before time as PyTorch's convolutions want them.

Shapes on the lines: B samples, T time steps, C channels, U units.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)
from torch import Tensor, nn

from bench import layers
from bench.layers import GRU_GATES, Shape
from bench.workload import Workload
from impl_torch.recurrent import GRU, LSTM, Masks


class Embedding(nn.Embedding):
    """(B, T) token ids → (B, C, T)."""

    def __init__(self, layer: layers.Embedding, shape: Shape) -> None:
        super().__init__(layer.vocabulary, layer.units)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2)


class Conv1D(nn.Conv1d):
    """(B, C, T) → (B, filters, T - width + 1), with relu."""

    def __init__(self, layer: layers.Conv1D, shape: Shape) -> None:
        super().__init__(shape[1], layer.filters, layer.width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x.contiguous()))  # or the convolution copies it, forward and backward


class CausalConv1D(nn.Conv1d):
    """(B, C, T) → (B, filters, T), with relu; zeros stand before the series."""

    def __init__(self, layer: layers.CausalConv1D, shape: Shape) -> None:
        super().__init__(shape[1], layer.filters, layer.width, dilation=layer.dilation)
        self.before = (layer.width - 1) * layer.dilation

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(F.pad(x, (self.before, 0))))


class MaxPool1D(nn.MaxPool1d):
    """(B, C, T) → (B, C, T // size)."""

    def __init__(self, layer: layers.MaxPool1D, shape: Shape) -> None:
        super().__init__(layer.size)


class GlobalMaxPool1D(nn.Module):
    """(B, C, T) → (B, C)."""

    def __init__(self, layer: layers.GlobalMaxPool1D, shape: Shape) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(dim=2)


class LastStep(nn.Module):
    """(B, C, T) → (B, C)."""

    def __init__(self, layer: layers.LastStep, shape: Shape) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, -1]


class Dense(nn.Linear):
    """(B, C) → (B, units)."""

    def __init__(self, layer: layers.Dense, shape: Shape) -> None:
        super().__init__(shape[0], layer.units)


MODULES: dict[type, Callable[..., nn.Module]] = {
    layers.Embedding: Embedding,
    layers.Conv1D: Conv1D,
    layers.CausalConv1D: CausalConv1D,
    layers.MaxPool1D: MaxPool1D,
    layers.GlobalMaxPool1D: GlobalMaxPool1D,
    layers.LastStep: LastStep,
    layers.LSTM: LSTM,
    layers.GRU: GRU,
    layers.Dense: Dense,
}


class Model(nn.Module):
    """The workload's layers in order; forward maps inputs (B, *input_shape) to raw outputs (B,)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {spec.name: MODULES[type(spec)](spec, shape) for spec, shape in workload.layer_inputs()}
        )
        self.last = workload.layers[-1].name

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Without masks nothing is dropped: evaluation."""
        return dict(self.outputs(x, masks))[self.last].squeeze(1)

    def outputs(self, x: Tensor, masks: Masks | None = None) -> Iterator[tuple[str, Tensor]]:
        """Every layer's name and output, in order."""
        masks = masks or {}
        if x.dim() == 3:
            x = x.transpose(1, 2)  # a series (B, T, C) → (B, C, T)
        for name, layer in self.layers.items():
            if isinstance(layer, GRU):
                x = layer(x, masks.get(f"{name}.input"), masks.get(f"{name}.recurrent"))
            else:
                x = layer(x)
            yield name, x

    def sample_masks(self, samples: int) -> Masks:
        """Dropout masks for one training batch by canonical name; empty for a model without dropout."""
        return {
            f"{name}.{mask}": value
            for name, layer in self.layers.items()
            if isinstance(layer, GRU) and (layer.layer.dropout or layer.layer.recurrent_dropout)
            for mask, value in layer.sample_masks(samples).items()
        }

    def canonical(self, of: Callable[[Tensor], Tensor] = Tensor.detach) -> dict[str, Tensor]:
        """`of` every weight (itself, or its gradient) by canonical name, in canonical layout."""
        return {
            f"{name}.{weight}": to_canonical(of(getattr(layer, attribute)))
            for name, layer in self.layers.items()
            for weight, (attribute, to_canonical, _) in LAYOUTS.get(type(layer), {}).items()
        }

    @torch.no_grad()
    def load_canonical(self, weights: dict[str, Tensor]) -> None:
        """Copies weights in canonical layout into the parameters."""
        for name, layer in self.layers.items():
            for weight, (attribute, _, from_canonical) in LAYOUTS.get(type(layer), {}).items():
                getattr(layer, attribute).copy_(from_canonical(weights[f"{name}.{weight}"]))


def _same(weight: Tensor) -> Tensor:
    return weight


def _reversed(weight: Tensor) -> Tensor:
    return weight.permute(*reversed(range(weight.dim())))


def _gates_last(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1).flatten(1)  # (3, in, U) → (in, 3·U)


def _gates_first(weight: Tensor) -> Tensor:
    return weight.unflatten(1, (GRU_GATES, -1)).transpose(0, 1)  # (in, 3·U) → (3, in, U)


Layout = tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
LAYOUTS: dict[type, dict[str, Layout]] = {
    # canonical name: (attribute, to the canonical layout, from it)
    Embedding: {"table": ("weight", _same, _same)},
    Conv1D: {"kernel": ("weight", _reversed, _reversed), "bias": ("bias", _same, _same)},
    CausalConv1D: {"kernel": ("weight", _reversed, _reversed), "bias": ("bias", _same, _same)},
    LSTM: {
        # PyTorch's gates stand in the same order: i, f, g, o
        "kernel": ("weight_ih_l0", _reversed, _reversed),
        "recurrent_kernel": ("weight_hh_l0", _reversed, _reversed),
        "bias": ("bias_ih_l0", _same, _same),
    },
    GRU: {
        "kernel": ("kernel", _gates_last, _gates_first),
        "recurrent_kernel": ("recurrent_kernel", _gates_last, _gates_first),
        "bias": ("bias", Tensor.flatten, lambda bias: bias.unflatten(0, (GRU_GATES, 1, -1))),
    },
    Dense: {"kernel": ("weight", _reversed, _reversed), "bias": ("bias", _same, _same)},
}
