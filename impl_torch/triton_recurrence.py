"""The GRU of `bench.layers`, all time steps in one Triton kernel forward and one back: what `native/recurrence.h` is.

One program takes one sample through the whole series, so that no sample waits for another and no kernel is started
between two time steps; its weights stay in registers.
"""

import triton
import triton.language as tl
from torch import Tensor

GATES = 3  # z, r, h


@triton.jit
def _gate(a, hard: tl.constexpr):
    if hard:
        return tl.minimum(tl.maximum(0.2 * a + 0.5, 0.0), 1.0)
    return 1 / (1 + tl.exp(-a))


@triton.jit
def _slope(y, hard: tl.constexpr):
    """Of the gate, as a function of its value."""
    if hard:
        return 0.2 * ((y > 0) & (y < 1)).to(y.dtype)  # a number takes the tensor's type; two numbers would be float32
    return y * (1 - y)


@triton.jit
def _weights(u, gate: tl.constexpr, units, units_: tl.constexpr):
    """(units_, units_), rows by the unit that gives, columns by the one that takes."""
    k, n = tl.arange(0, units_)[:, None], tl.arange(0, units_)[None, :]
    return tl.load(u + (gate * units + k) * units + n, mask=(k < units) & (n < units), other=0.0)


@triton.jit
def _gru_forward(a, u, m, saved, last, samples, steps, units, hard: tl.constexpr, units_: tl.constexpr):
    """a (G, T, B, U): the inputs' part of the gates; u (G, U, U), m (G, B, U) → saved (4, T, B, U): h, z, r, c."""
    b, n = tl.program_id(0), tl.arange(0, units_)
    kept, size = n < units, samples * steps * units
    u_z, u_r, u_h = _weights(u, 0, units, units_), _weights(u, 1, units, units_), _weights(u, 2, units, units_)
    m_z = tl.load(m + (0 * samples + b) * units + n, mask=kept, other=0.0)
    m_r = tl.load(m + (1 * samples + b) * units + n, mask=kept, other=0.0)
    m_h = tl.load(m + (2 * samples + b) * units + n, mask=kept, other=0.0)
    h = tl.zeros((units_,), a.dtype.element_ty)
    place = b * units + n
    for _ in range(steps):
        x_z = tl.load(a + place, mask=kept, other=0.0)
        x_r = tl.load(a + size + place, mask=kept, other=0.0)
        x_h = tl.load(a + 2 * size + place, mask=kept, other=0.0)
        z = _gate(x_z + tl.sum((h * m_z)[:, None] * u_z, axis=0), hard)
        r = _gate(x_r + tl.sum((h * m_r)[:, None] * u_r, axis=0), hard)
        c = 1 - 2 / (1 + tl.exp(2 * (x_h + tl.sum((r * h * m_h)[:, None] * u_h, axis=0))))  # tanh
        tl.store(saved + place, h, mask=kept)
        tl.store(saved + size + place, z, mask=kept)
        tl.store(saved + 2 * size + place, r, mask=kept)
        tl.store(saved + 3 * size + place, c, mask=kept)
        h = z * h + (1 - z) * c  # the carried h is not masked
        place += samples * units
    tl.store(last + b * units + n, h, mask=kept)


@triton.jit
def _gru_backward(dlast, saved, u, m, da, samples, steps, units, hard: tl.constexpr, units_: tl.constexpr):
    """dlast (B, U) → da (G, T, B, U), the gradients of what the gates are functions of; see `native/recurrence.h`."""
    b, n = tl.program_id(0), tl.arange(0, units_)
    kept, size = n < units, samples * steps * units
    u_z, u_r, u_h = _weights(u, 0, units, units_), _weights(u, 1, units, units_), _weights(u, 2, units, units_)
    m_z = tl.load(m + (0 * samples + b) * units + n, mask=kept, other=0.0)
    m_r = tl.load(m + (1 * samples + b) * units + n, mask=kept, other=0.0)
    m_h = tl.load(m + (2 * samples + b) * units + n, mask=kept, other=0.0)
    dh = tl.load(dlast + b * units + n, mask=kept, other=0.0)
    place = (steps * samples + b) * units + n
    for _ in range(steps):
        place -= samples * units
        h = tl.load(saved + place, mask=kept, other=0.0)
        z = tl.load(saved + size + place, mask=kept, other=0.0)
        r = tl.load(saved + 2 * size + place, mask=kept, other=0.0)
        c = tl.load(saved + 3 * size + place, mask=kept, other=0.0)
        da_z = dh * (h - c) * _slope(z, hard)
        da_h = dh * (1 - z) * (1 - c * c)
        q = m_h * tl.sum(da_h[None, :] * u_h, axis=1)
        da_r = q * h * _slope(r, hard)
        tl.store(da + place, da_z, mask=kept)
        tl.store(da + size + place, da_r, mask=kept)
        tl.store(da + 2 * size + place, da_h, mask=kept)
        through = m_z * tl.sum(da_z[None, :] * u_z, axis=1) + m_r * tl.sum(da_r[None, :] * u_r, axis=1)
        dh = dh * z + q * r + through


def gru(gates: Tensor, recurrent: Tensor, m: Tensor, hard: bool) -> tuple[Tensor, Tensor]:
    """gates (G, T, B, U): what the inputs add, (G, U, U), masks (G, B, U) → last state (B, U), saved (4, T, B, U)."""
    _, steps, samples, units = gates.shape
    last, saved = gates.new_empty(samples, units), gates.new_empty(4, steps, samples, units)
    _gru_forward[(samples,)](gates, recurrent, m, saved, last, samples, steps, units, hard, _power(units), num_warps=1)
    return last, saved


def gru_backward(dlast: Tensor, saved: Tensor, recurrent: Tensor, m: Tensor, hard: bool) -> Tensor:
    """dlast (B, U) → the gradient of `gates` (G, T, B, U)."""
    _, steps, samples, units = saved.shape
    da = saved.new_empty(GATES, steps, samples, units)
    _gru_backward[(samples,)](dlast, saved, recurrent, m, da, samples, steps, units, hard, _power(units), num_warps=1)
    return da


def _power(units: int) -> int:
    return max(2, triton.next_power_of_2(units))
