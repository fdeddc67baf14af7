"""Convolution, relu and pooling as one Triton kernel, and their gradients: on a CUDA device what `native/` is on a CPU.

    y[b,p,f] = relu(max over j < size of sum over k < width, c of x[b, p·size + j + k, c] W[f,c,k] + bias[f])

A window of x (B, T, C) is one row of width·C values in memory. Products are in float32 throughout ("ieee": no TF32).
The functions have the signatures of the C++ ones; B samples, T time steps, C channels, F filters, P pooled steps.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 16
"""Of a tile: the fewest that a product takes."""
DEPTH = 32
"""Values of a window, or filters, that a product takes at a time."""
PARTS = 64
"""Into so many the sum over samples and time steps is parted for the gradient of a kernel."""


@triton.jit
def _sums(
    x, w, begin, valid, filters, length,
    tokens: tl.constexpr, rows_: tl.constexpr, depth_: tl.constexpr, filters_: tl.constexpr,
):  # fmt: skip
    """(rows_, filters_) outputs before bias, relu and pooling, of the windows that begin at `begin` of x.

    Of a series w is (length, F). Of tokens it is (V, length, F), the product of every token with every tap.
    """
    f = tl.arange(0, filters_)
    sums = tl.zeros((rows_, filters_), w.dtype.element_ty)
    if tokens:
        for k in range(length):
            token = tl.load(x + begin + k, mask=valid, other=0).to(tl.int64)
            place = w + ((token * length + k) * filters)[:, None] + f[None, :]
            sums += tl.load(place, mask=valid[:, None] & (f < filters)[None, :], other=0.0)
    else:
        for k in range(0, length, depth_):
            offset = k + tl.arange(0, depth_)
            there = valid[:, None] & (offset < length)[None, :]
            window = tl.load(x + begin[:, None] + offset[None, :], mask=there, other=0.0)
            there = (offset < length)[:, None] & (f < filters)[None, :]
            values = tl.load(w + offset[:, None] * filters + f[None, :], mask=there, other=0.0)
            sums += tl.dot(window, values, input_precision="ieee", out_dtype=w.dtype.element_ty)
    return sums


@triton.jit
def _pooled_forward(
    x, w, bias, y, where, steps, features, filters, length, size, pooled,
    tokens: tl.constexpr, rows_: tl.constexpr, depth_: tl.constexpr, filters_: tl.constexpr,
):  # fmt: skip
    """One program: `rows_` pooled steps of one sample."""
    b = tl.program_id(0)
    p, f = tl.program_id(1) * rows_ + tl.arange(0, rows_), tl.arange(0, filters_)
    best = tl.full((rows_, filters_), float("-inf"), w.dtype.element_ty)
    found = tl.zeros((rows_, filters_), tl.int32)
    for j in range(size):
        begin = (b * steps + p * size + j) * features
        sums = _sums(x, w, begin, p < pooled, filters, length, tokens, rows_, depth_, filters_)
        larger = (sums > best) | (sums != sums)  # NaN is kept
        best = tl.where(larger, sums, best)
        found = tl.where(larger, j, found)
    best += tl.load(bias + f, mask=f < filters, other=0.0)[None, :]
    place = (b * pooled + p[:, None]) * filters + f[None, :]
    kept = (p < pooled)[:, None] & (f < filters)[None, :]
    tl.store(y + place, tl.where(best < 0, 0.0, best), mask=kept)
    tl.store(where + place, found, mask=kept)


@triton.jit
def _pooled_forward_of_all(
    x, w, bias, y, where, steps, features, filters, length, size,
    tokens: tl.constexpr, rows_: tl.constexpr, depth_: tl.constexpr, filters_: tl.constexpr,
):  # fmt: skip
    """One program: one sample with one maximum, over `size` time steps, `rows_` of them at a time."""
    b, f = tl.program_id(0), tl.arange(0, filters_)
    best = tl.full((filters_,), float("-inf"), w.dtype.element_ty)
    found = tl.zeros((filters_,), tl.int32)
    bad = tl.zeros((filters_,), tl.int32)
    for first in range(0, size, rows_):
        t = first + tl.arange(0, rows_)
        begin = (b * steps + t) * features
        sums = _sums(x, w, begin, t < size, filters, length, tokens, rows_, depth_, filters_)
        bad += tl.max((sums != sums).to(tl.int32), axis=0)
        top, at = tl.max(tl.where((t < size)[:, None], sums, float("-inf")), axis=0, return_indices=True)
        larger = top > best
        best = tl.where(larger, top, best)
        found = tl.where(larger, first + at, found)
    best = tl.where(bad > 0, float("nan"), best) + tl.load(bias + f, mask=f < filters, other=0.0)
    tl.store(y + b * filters + f, tl.where(best < 0, 0.0, best), mask=f < filters)
    tl.store(where + b * filters + f, found, mask=f < filters)


@triton.jit
def _unpooled(g, where, b, t, f, filters, size, pooled):
    """What the outputs before pooling get at time steps t (a row) and filters f (a column): g where the maximum is."""
    p = t // size
    inside = (t >= 0) & (p < pooled)
    place = (b * pooled + p[:, None]) * filters + f[None, :]
    mask = inside[:, None] & (f < filters)[None, :]
    gradient = tl.load(g + place, mask=mask, other=0.0)
    return tl.where(tl.load(where + place, mask=mask, other=-1) == (t % size)[:, None], gradient, 0.0)


@triton.jit
def _to_input(
    g, where, kernel, dx, steps, features, filters, width, size, pooled,
    rows_: tl.constexpr, features_: tl.constexpr, filters_: tl.constexpr,
):  # fmt: skip
    """One program: dx of `rows_` time steps of one sample; kernel (width, F, C)."""
    b = tl.program_id(0)
    s, c = tl.program_id(1) * rows_ + tl.arange(0, rows_), tl.arange(0, features_)
    sums = tl.zeros((rows_, features_), g.dtype.element_ty)
    for k in range(width):
        for first in range(0, filters, filters_):
            f = first + tl.arange(0, filters_)
            dy = _unpooled(g, where, b, s - k, f, filters, size, pooled)
            values = tl.load(
                kernel + (k * filters + f[:, None]) * features + c[None, :],
                mask=(f < filters)[:, None] & (c < features)[None, :],
                other=0.0,
            )
            sums += tl.dot(dy, values, input_precision="ieee", out_dtype=g.dtype.element_ty)
    kept = (s < steps)[:, None] & (c < features)[None, :]
    tl.store(dx + (b * steps + s[:, None]) * features + c[None, :], sums, mask=kept)


@triton.jit
def _to_kernel(
    g, where, x, parts, samples, steps, features, filters, length, size, pooled, per_part,
    rows_: tl.constexpr, length_: tl.constexpr, filters_: tl.constexpr,
):  # fmt: skip
    """One program: `length_` values of every window, summed over one part of the samples; parts (PARTS, length, F)."""
    part = tl.program_id(0)
    offset, f = tl.program_id(1) * length_ + tl.arange(0, length_), tl.arange(0, filters_)
    sums = tl.zeros((length_, filters_), g.dtype.element_ty)
    used = pooled * size
    for b in range(part * per_part, min(samples, (part + 1) * per_part)):
        for first in range(0, used, rows_):
            t = first + tl.arange(0, rows_)
            dy = _unpooled(g, where, b, t, f, filters, size, pooled)
            window = tl.load(
                x + (b * steps + t[None, :]) * features + offset[:, None],
                mask=(t < used)[None, :] & (offset < length)[:, None],
                other=0.0,
            )
            sums += tl.dot(window, dy, input_precision="ieee", out_dtype=g.dtype.element_ty)
    kept = (offset < length)[:, None] & (f < filters)[None, :]
    tl.store(parts + (part * length + offset[:, None]) * filters + f[None, :], sums, mask=kept)


@triton.jit
def _to_products(
    g, where, x, products, steps, filters, width, size, pooled, rows_: tl.constexpr, filters_: tl.constexpr
):  # fmt: skip
    """One program: `rows_` pooled steps of one sample, added to the products (V, width, F) of the tokens they saw."""
    b = tl.program_id(0)
    p, f = tl.program_id(1) * rows_ + tl.arange(0, rows_), tl.arange(0, filters_)
    place = (b * pooled + p[:, None]) * filters + f[None, :]
    kept = (p < pooled)[:, None] & (f < filters)[None, :]
    gradient = tl.load(g + place, mask=kept, other=0.0)
    begin = b * steps + p[:, None] * size + tl.load(where + place, mask=kept, other=0)
    kept = kept & (gradient != 0)  # also where it is NaN
    for k in range(width):
        token = tl.load(x + begin + k, mask=kept, other=0).to(tl.int64)
        tl.atomic_add(products + (token * width + k) * filters + f[None, :], gradient, mask=kept, sem="relaxed")


def convolution(x: Tensor, kernel: Tensor, bias: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """x (B, T, C), kernel (F, width, C), bias (F,) → y (B, P, F), where (B, P, F): which of `size` steps is largest."""
    return _pooled(x, kernel.permute(1, 2, 0).contiguous(), bias, kernel.shape[1], size)


def look_up(places: Tensor, products: Tensor, bias: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """places (B, T), products (V, width·F), bias (F,) → as `convolution`, of the sums of the products at the places."""
    return _pooled(places, products, bias, products.shape[1] // len(bias), size)


def _pooled(x: Tensor, w: Tensor, bias: Tensor, width: int, size: int) -> tuple[Tensor, Tensor]:
    samples, steps = x.shape[:2]
    features, filters = (x.shape[2] if x.dim() == 3 else 1), len(bias)
    pooled = (steps - width + 1) // size
    y = w.new_empty(samples, pooled, filters)
    where = torch.empty_like(y, dtype=torch.int32)
    sizes = steps, features, filters, width * features, size
    tile = x.dim() == 2, ROWS, DEPTH, _power(filters)
    if pooled == 1:
        _pooled_forward_of_all[(samples,)](x, w, bias, y, where, *sizes, *tile)
    else:
        _pooled_forward[(samples, triton.cdiv(pooled, ROWS))](x, w, bias, y, where, *sizes, pooled, *tile)
    return y, where


def look_up_backward(g: Tensor, where: Tensor, places: Tensor, products: Tensor, size: int) -> Tensor:
    """g (B, P, F) → the gradient of the products.

    Threads add to one product in whatever order they come: two runs may differ in the last digits.
    """
    (samples, pooled, filters), steps = g.shape, places.shape[1]
    dproducts = torch.zeros_like(products)
    _to_products[(samples, triton.cdiv(pooled, ROWS))](
        g, where, places, dproducts, steps, filters, products.shape[1] // filters, size, pooled, ROWS, _power(filters)
    )
    return dproducts


def convolution_backward(
    g: Tensor, where: Tensor, x: Tensor, kernel: Tensor, size: int, wants_dx: bool
) -> tuple[Tensor | None, Tensor]:
    """g (B, P, F), the gradient before relu → dx (B, T, C) unless it is not wanted, dkernel (F, width, C)."""
    (samples, steps, features), (filters, width, _) = x.shape, kernel.shape
    pooled, filters_ = g.shape[1], _power(filters)
    dx = None
    if wants_dx:
        dx = torch.empty_like(x)
        _to_input[(samples, triton.cdiv(steps, ROWS))](
            g, where, kernel.transpose(0, 1).contiguous(), dx, steps, features, filters, width, size, pooled,
            ROWS, _power(features), min(DEPTH, filters_),
        )  # fmt: skip
    length, parts = width * features, min(PARTS, samples)
    sums = x.new_empty(parts, length, filters)
    _to_kernel[(parts, triton.cdiv(length, DEPTH))](
        g, where, x, sums, samples, steps, features, filters, length, size, pooled, triton.cdiv(samples, parts),
        ROWS, DEPTH, filters_,
    )  # fmt: skip
    return dx, sums.sum(0).T.unflatten(1, (width, features))


def _power(count: int) -> int:
    """The next power of two, of at least what a product takes."""
    return max(ROWS, triton.next_power_of_2(count))
