"""The mathematics of the layers without a state in float64: what they compute, and the gradient that comes back.

A layer is a function from its input and its weights to `(y, back)`. `back(dy)` takes the gradient of the loss with
respect to y and returns the one with respect to x, and one for every weight by name. Written to be believed rather
than to be fast: vectorised over the batch, a loop over the kernel's width in the convolution.

In comments: B samples, T time steps of x, S time steps of y, C input features, F filters, U units, V vocabulary.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Back = Callable[[Array], tuple[Array, dict[str, Array]]]


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


def conv1d(x: Array, kernel: Array, bias: Array, dilation: int) -> tuple[Array, Back]:
    """y[b, t] = relu(sum over k of x[b, t + k * dilation] @ kernel[k] + bias); relu'(0) = 0.

    S = T - (width - 1) * dilation.
    """
    width = len(kernel)
    steps = x.shape[1] - (width - 1) * dilation
    places = [slice(k * dilation, k * dilation + steps) for k in range(width)]
    seen = [x[:, place] for place in places]  # width views of (B, S, C)
    y = np.maximum(sum(seen[k] @ kernel[k] for k in range(width)) + bias, 0.0)  # (B, S, F)

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        da = dy * (y > 0)  # (B, S, F)
        dx = np.zeros_like(x)
        for k, place in enumerate(places):
            dx[:, place] += da @ kernel[k].T  # (B, S, C)
        dkernel = np.stack([(part.swapaxes(1, 2) @ da).sum(axis=0) for part in seen])  # (width, C, F)
        return dx, {"kernel": dkernel, "bias": da.sum(axis=(0, 1))}

    return y, back


def causalconv1d(x: Array, kernel: Array, bias: Array, dilation: int) -> tuple[Array, Back]:
    """`conv1d` of x with (width - 1) * dilation zeros before it: no output sees a later input; S = T."""
    samples, _, features = x.shape
    before = (len(kernel) - 1) * dilation
    y, conv_back = conv1d(np.concatenate([np.zeros((samples, before, features)), x], axis=1), kernel, bias, dilation)

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        dpadded, gradients = conv_back(dy)
        return dpadded[:, before:], gradients

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


def laststep(x: Array) -> tuple[Array, Back]:
    """y[b] = x[b, T - 1]; (B, T, C) → (B, C)."""

    def back(dy: Array) -> tuple[Array, dict[str, Array]]:
        dx = np.zeros_like(x)
        dx[:, -1] = dy
        return dx, {}

    return x[:, -1], back


def dense(x: Array, kernel: Array, bias: Array) -> tuple[Array, Back]:
    """y = x @ kernel + bias; (B, C) → (B, U)."""
    return x @ kernel + bias, lambda dy: (dy @ kernel.T, {"kernel": x.T @ dy, "bias": dy.sum(axis=0)})
