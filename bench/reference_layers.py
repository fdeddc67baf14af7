"""The mathematics of every layer in float64: what it computes, and the gradient that comes back through it.

A layer is a function from its input and its weights to `(y, back)`. `back(dy)` takes the gradient of the loss with
respect to y and returns the one with respect to x, and one for every weight by name. Written to be believed rather
than to be fast: vectorised over the batch, a loop over time in the GRU, over the kernel's width in the convolution.

In comments: B samples, T time steps of x, S time steps of y, C input features, F filters, U units, V vocabulary.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.layers import GRU, Conv1D, Dense, Embedding, Gate, GlobalMaxPool1D, Layer, MaxPool1D

Array = NDArray[np.float64]
Back = Callable[[Array], tuple[Array, dict[str, Array]]]


def apply(
    layer: Layer, weights: Mapping[str, Array], x: NDArray[np.generic], masks: Mapping[str, Array]
) -> tuple[Array, Back]:
    """The layer on a batch; `weights` by the names of `layer.weights`, `masks` by those of `GRU.masks` or none."""
    if isinstance(layer, Embedding):
        return embedding(x, **weights)
    series = np.asarray(x, np.float64)
    match layer:
        case Conv1D():
            return conv1d(series, **weights)
        case MaxPool1D():
            return maxpool1d(series, layer.size)
        case GlobalMaxPool1D():
            return globalmaxpool1d(series)
        case GRU():
            return gru(series, **weights, gate=layer.gate, masks=masks)
        case Dense():
            return dense(series, **weights)
    raise TypeError(f"the reference does not know layer {layer!r}; add it to bench/reference_layers.py")


def embedding(ids: NDArray[np.generic], table: Array) -> tuple[Array, Back]:
    """y[b, t] = table[ids[b, t]]. A row's gradient is the sum over all the places its token stands at."""
    if not np.issubdtype(ids.dtype, np.integer) or ids.min() < 0 or ids.max() >= len(table):
        raise ValueError(
            f"token ids are {ids.dtype} from {ids.min()} to {ids.max()}; expected integers in [0, {len(table)})"
        )
    rows = ids.astype(np.intp)  # (B, T)
    y = table[rows]  # (B, T, U) out of (V, U)

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        dtable = np.zeros_like(table)
        np.add.at(dtable, rows, dy)
        nothing = np.full(rows.shape, np.nan)  # an id has no gradient: whoever used it would see
        return nothing, {"table": dtable}

    return y, back


def conv1d(x: Array, kernel: Array, bias: Array) -> tuple[Array, Back]:
    """y[b, t] = relu(sum over k of x[b, t + k] @ kernel[k] + bias), S = T - width + 1; relu'(0) = 0."""
    width, steps = len(kernel), x.shape[1] - len(kernel) + 1
    seen = [x[:, k : k + steps] for k in range(width)]  # width views of (B, S, C)
    y = np.maximum(sum(seen[k] @ kernel[k] for k in range(width)) + bias, 0.0)  # (B, S, F)

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        da = dy * (y > 0)  # (B, S, F)
        dx = np.zeros_like(x)
        for k in range(width):
            dx[:, k : k + steps] += da @ kernel[k].T  # (B, S, C)
        dkernel = np.stack([(part.swapaxes(1, 2) @ da).sum(axis=0) for part in seen])  # (width, C, F)
        return dx, {"kernel": dkernel, "bias": da.sum(axis=(0, 1))}

    return y, back


def maxpool1d(x: Array, size: int) -> tuple[Array, Back]:
    """y[b, s] = the maximum of x[b, size * s : size * (s + 1)]; the gradient goes to the first maximum.

    Frameworks share a tie's gradient out differently, and ties of two kinds do occur here; neither changes the gradient
    of any weight. Zeros of a relu: its derivative at 0 is 0, so nothing arrives. Time steps computed from equal inputs,
    such as those within the padding of a review: whichever is chosen, the same terms go to the same weights.
    """
    samples, steps, features = x.shape
    kept = steps // size * size
    windows = x[:, :kept].reshape(samples, kept // size, size, features)  # (B, S, size, C)
    first = windows.argmax(axis=2)[:, :, None]  # (B, S, 1, C)
    y = np.take_along_axis(windows, first, axis=2)[:, :, 0]  # (B, S, C)

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        dwindows = np.zeros_like(windows)
        np.put_along_axis(dwindows, first, dy[:, :, None], axis=2)
        dx = np.zeros_like(x)  # a dropped tail keeps its zeros
        dx[:, :kept] = dwindows.reshape(samples, kept, features)
        return dx, {}

    return y, back


def globalmaxpool1d(x: Array) -> tuple[Array, Back]:
    """y[b] = the maximum of x[b] over time: pooling with one window of all time steps; (B, T, C) → (B, C)."""
    y, pool_back = maxpool1d(x, x.shape[1])
    return y[:, 0], lambda dy: pool_back(dy[:, None])


def dense(x: Array, kernel: Array, bias: Array) -> tuple[Array, Back]:
    """y = x @ kernel + bias; (B, C) → (B, U)."""
    return x @ kernel + bias, lambda dy: (dy @ kernel.T, {"kernel": x.T @ dy, "bias": dy.sum(axis=0)})


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
