"""The mathematics of the recurrent layers in float64, in the form of `bench.reference_layers`: a loop over time each.

In comments: B samples, T time steps, C input features, U units.
"""

from collections.abc import Callable, Mapping

import numpy as np

from bench.layers import Gate
from bench.reference_layers import Array, Back


def gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array, gate: Gate, masks: Mapping[str, Array]
) -> tuple[Array, Back]:
    """The last state of the recurrence in `bench.layers.GRU`, from a state of zeros; (B, T, C) → (B, U).

    With a_z, a_r, a_h the arguments of gate, gate and tanh, and g' the slope of the gate, going back one time step is

        da_z = dh' * (h - c) * g'(a_z)
        da_h = dh' * (1 - z) * (1 - c²)            q = da_h @ U_h^T, the gradient of r * h*m_h
        da_r = q * h*m_h * g'(a_r)
        dh   = dh' * z + q * r * m_h + (da_z @ U_z^T) * m_z + (da_r @ U_r^T) * m_r

    and dW_g sums (x*d_g)^T @ da_g over time, dU_z and dU_r (h*m_g)^T @ da_g, dU_h (r * h*m_h)^T @ da_h.
    """
    (samples, steps, features), units = x.shape, len(recurrent_kernel)
    d = masks.get("input", np.ones((3, samples, features)))  # (3, B, C)
    m_z, m_r, m_h = masks.get("recurrent", np.ones((3, samples, units)))  # (B, U) each
    w = kernel.reshape(features, 3, units).transpose(1, 0, 2)  # (3, C, U)
    u_z, u_r, u_h = recurrent_kernel.reshape(units, 3, units).transpose(1, 0, 2)  # (U, U) each
    masked = x * d[:, :, None]  # (3, B, T, C)
    from_input = masked @ w[:, None] + bias.reshape(3, 1, 1, units)  # (3, B, T, U)
    activation, slope = _GATES[gate]

    h = np.zeros((samples, units))
    history = []
    for t in range(steps):
        z = activation(from_input[0, :, t] + (h * m_z) @ u_z)
        r = activation(from_input[1, :, t] + (h * m_r) @ u_r)
        c = np.tanh(from_input[2, :, t] + (r * h * m_h) @ u_h)
        history.append((h, z, r, c))
        h = z * h + (1 - z) * c

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        da = np.zeros_like(from_input)  # (3, B, T, U)
        du_z, du_r, du_h = np.zeros((3, units, units))
        dh = dy
        for t in reversed(range(steps)):
            h, z, r, c = history[t]
            da_z = dh * (h - c) * slope(z)
            da_h = dh * (1 - z) * (1 - c * c)
            q = da_h @ u_h.T
            da_r = q * h * m_h * slope(r)
            du_z += (h * m_z).T @ da_z
            du_r += (h * m_r).T @ da_r
            du_h += (r * h * m_h).T @ da_h
            da[:, :, t] = da_z, da_r, da_h
            dh = dh * z + q * r * m_h + (da_z @ u_z.T) * m_z + (da_r @ u_r.T) * m_r
        dw = np.einsum("gbtc,gbtu->cgu", masked, da, optimize=True)  # (C, 3, U)
        dx = ((da @ w[:, None].swapaxes(2, 3)) * d[:, :, None]).sum(axis=0)  # (B, T, C)
        return dx, {
            "kernel": dw.reshape(features, 3 * units),
            "recurrent_kernel": np.concatenate([du_z, du_r, du_h], axis=1),
            "bias": da.sum(axis=(1, 2)).reshape(3 * units),
        }

    return h, back


def lstm(x: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> tuple[Array, Back]:
    """The last state of the recurrence in `bench.layers.LSTM`, from states of zeros; (B, T, C) → (B, U).

    With g the candidate c~, a_i, a_f, a_g, a_o the arguments of the activations, and dc' what has come back to the new
    cell state from later time steps, going back one time step is

        dc'  = dc' + dh' * o * (1 - tanh(c')²)
        da_i = dc' * g * i * (1 - i)      da_f = dc' * c * f * (1 - f)
        da_g = dc' * i * (1 - g²)         da_o = dh' * tanh(c') * o * (1 - o)
        dc   = dc' * f
        dh   = da @ U^T, over the four gates side by side

    and dW sums x^T @ da over time, dU h^T @ da.
    """
    (samples, steps, _), units = x.shape, len(recurrent_kernel)
    from_input = x @ kernel + bias  # (B, T, 4·U)

    h, c = np.zeros((2, samples, units))
    history = []
    for t in range(steps):
        a_i, a_f, a_g, a_o = np.split(from_input[:, t] + h @ recurrent_kernel, 4, axis=1)  # (B, U) each
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        before, c = c, f * c + i * g
        tanh_c = np.tanh(c)
        history.append((h, before, i, f, g, o, tanh_c))
        h = o * tanh_c

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        da = np.zeros_like(from_input)  # (B, T, 4·U)
        du = np.zeros_like(recurrent_kernel)
        dh, dc = dy, np.zeros_like(dy)
        for t in reversed(range(steps)):
            h, c, i, f, g, o, tanh_c = history[t]
            dc = dc + dh * o * (1 - tanh_c * tanh_c)
            gates = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)
            da[:, t] = np.concatenate(gates, axis=1)
            du += h.T @ da[:, t]
            dc = dc * f
            dh = da[:, t] @ recurrent_kernel.T
        dw = np.einsum("btc,btg->cg", x, da, optimize=True)  # (C, 4·U)
        return da @ kernel.T, {"kernel": dw, "recurrent_kernel": du, "bias": da.sum(axis=(0, 1))}

    return h, back


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), without overflow for any a."""
    result: Array = np.exp(-np.logaddexp(0.0, -a))
    return result


def hard_sigmoid(a: Array) -> Array:
    """clip(0.2 a + 0.5, 0, 1), the gate of 2017; what libraries now call by this name is a/6 + 0.5."""
    return np.clip(0.2 * a + 0.5, 0.0, 1.0)


_GATES: dict[Gate, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sigmoid": (sigmoid, lambda y: y * (1 - y)),
    "hard_sigmoid": (hard_sigmoid, lambda y: np.where((y > 0) & (y < 1), 0.2, 0.0)),
}
"""Gate activation, and its slope as a function of its value."""
