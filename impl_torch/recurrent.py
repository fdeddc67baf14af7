"""The recurrent layers, and how a compiler is given a loop over hundreds of time steps.

A compiler unrolls a loop and works for seconds on every step of it: on 240 or 500 of them for longer than anyone waits.
So it is given a graph of a few steps, which is then called over and over until the series ends.

Shapes on the lines: B samples, T time steps, C channels, U units.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)
from torch import Tensor, nn

from bench import layers
from bench.layers import GRU_GATES, LSTM_GATES, Shape

Masks = dict[str, Tensor]
OverTime = Callable[..., Tensor]
"""See `gru_over_time`."""

ONE_GRAPH = 60
"""Time steps of the longest recurrence that a compiler gets whole, with everything around it."""
PART = 12
"""Time steps in the graph of a longer one; graphs of 20 and 24 took longer to compile and no less time to run."""


def in_parts(over_time: OverTime) -> OverTime:
    """The same recurrence with `PART` time steps a call."""

    def part_by_part(gates: Tensor, h: Tensor, *others: object) -> Tensor:
        # Zeros at the start need no gradient; but with it the first part is a call of the same graph as all others.
        h.requires_grad_(torch.is_grad_enabled())
        for part in gates.split(PART, dim=1):
            h = over_time(part, h, *others)
        return h

    return part_by_part


class LSTM(nn.LSTM):
    """(B, C, T) → (B, U). PyTorch adds two biases: one is trained, the other stays zero and is no parameter.

    No compiler has a part in it: the library's own recurrence is one call, and faster than a compiled loop.
    """

    def __init__(self, layer: layers.LSTM, shape: Shape) -> None:
        super().__init__(shape[1], layer.units)
        del self.bias_hh_l0
        self.bias_hh_l0 = nn.Buffer(torch.zeros(LSTM_GATES * layer.units), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = super().forward(x.permute(2, 0, 1))  # (T, B, C) → h (1, B, U)
        return h[0]


class GRU(nn.Module):
    """`nn.GRU` applies the reset gate after the recurrent product and has no recurrent dropout; this one is exact."""

    def __init__(self, layer: layers.GRU, shape: Shape) -> None:
        super().__init__()
        self.layer, (self.steps, self.features) = layer, shape
        self.kernel = nn.Parameter(torch.zeros(GRU_GATES, shape[1], layer.units))
        self.recurrent_kernel = nn.Parameter(torch.zeros(GRU_GATES, layer.units, layer.units))
        self.bias = nn.Parameter(torch.zeros(GRU_GATES, 1, layer.units))
        self.over_time: OverTime = gru_over_time

    def forward(self, x: Tensor, input_mask: Tensor | None, recurrent_mask: Tensor | None) -> Tensor:
        samples, _, steps = x.shape
        x = x.permute(2, 0, 1).expand(GRU_GATES, -1, -1, -1)  # (B, C, T) → (3, T, B, C)
        if input_mask is not None:
            x = x * input_mask.unsqueeze(1)  # (3, 1, B, C): constant over time
        gates = torch.baddbmm(self.bias, x.flatten(1, 2), self.kernel).unflatten(1, (steps, samples))  # (3, T, B, U)
        h = x.new_zeros(samples, self.layer.units)
        return self.over_time(gates, h, self.recurrent_kernel, recurrent_mask, GATES[self.layer.gate])  # (B, U)

    def sample_masks(self, samples: int) -> Masks:
        """One mask a gate and a sample, scaled by 1/(1-p)."""
        like = self.bias
        return {
            "input": F.dropout(like.new_ones(GRU_GATES, samples, self.features), self.layer.dropout),
            "recurrent": F.dropout(like.new_ones(GRU_GATES, samples, self.layer.units), self.layer.recurrent_dropout),
        }


def gru_over_time(
    gates: Tensor, h: Tensor, kernel: Tensor, masks: Tensor | None, gate: Callable[[Tensor], Tensor]
) -> Tensor:
    """The state (B, U) that follows `h` after the T steps whose inputs make up `gates` (3, T, B, U).

    `gates`, kernel (3, U, U) and masks (3, B, U) in the order z, r, h.
    """
    x_z, x_r, x_h = (of_gate.unbind(0) for of_gate in gates)  # T times (B, U), for each gate
    u_z, u_r, u_h = kernel  # (U, U) each
    m_z, m_r, m_h = (None,) * GRU_GATES if masks is None else masks  # (B, U) each
    for t in range(len(x_z)):
        z = gate(torch.addmm(x_z[t], masked(h, m_z), u_z))
        r = gate(torch.addmm(x_r[t], masked(h, m_r), u_r))
        c = torch.tanh(torch.addmm(x_h[t], r * masked(h, m_h), u_h))
        h = z * h + (1 - z) * c  # the carried h is not masked
    return h


def masked(state: Tensor, mask: Tensor | None) -> Tensor:
    """`state`, or its product with the mask where there is one."""
    return state if mask is None else state * mask


def _hard_sigmoid(a: Tensor) -> Tensor:
    """The gate of 2017; `torch.nn.functional.hardsigmoid` has slope 1/6 instead."""
    return (0.2 * a + 0.5).clamp(0, 1)


GATES: dict[layers.Gate, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "hard_sigmoid": _hard_sigmoid}
