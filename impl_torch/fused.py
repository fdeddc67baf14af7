"""The forms of `torch-tuned`: layers that belong together in one call each, over the weights of `impl_torch.model`.

Time stands before channels here. Shapes on the lines: B samples, T time steps, C channels, F filters, P pooled steps,
U units, G gates z, r, h.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from impl_torch.model import Conv1D, Embedding, GlobalMaxPool1D, MaxPool1D, Model
from impl_torch.native import library
from impl_torch.recurrent import GRU, Masks

Form = Callable[[Tensor, Masks], Tensor]


def calls(tensor: Tensor) -> Any:
    """What computes the forms where `tensor` is: kernels in Triton on a CUDA device, else the C++."""
    if tensor.is_cuda:
        return importlib.import_module("impl_torch.triton_calls")  # Triton is there with CUDA only
    return library(tensor.dtype)


class Convolution(torch.autograd.Function):
    """x (B, T, C), kernel (F, C, width), bias (F,) → relu and maximum of every `size` steps, (B, P, F).

    A window of x lies in memory as (width, C): so does the kernel that is given to the call.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, kernel: Tensor, bias: Tensor, size: int) -> Tensor:
        x, taps = x.contiguous(), kernel.transpose(1, 2).contiguous()
        y, where = calls(x).convolution(x, taps, bias, size)
        ctx.save_for_backward(y, where, x, taps)
        ctx.size = size
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, where, x, taps = ctx.saved_tensors
        g = _before_relu(dy, y)
        dx, dtaps = calls(dy).convolution_backward(g, where, x, taps, ctx.size, ctx.needs_input_grad[0])
        return dx, dtaps.transpose(1, 2).contiguous(), g.sum((0, 1)), None


class TableConvolution(torch.autograd.Function):
    """x (B, T) tokens, table (V, C), kernel (F, C, width), bias (F,) → as `Convolution` of their embeddings.

    A token meets each tap of the kernel as the same product P = E W wherever it stands, so that product is taken once
    for every token. Back the same way: dP sums what all places of a token get, then dE = dP Wᵀ and dW = Eᵀ dP.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, table: Tensor, kernel: Tensor, bias: Tensor, size: int) -> Tensor:
        tokens, places = distinct(x, len(table))
        embedded = table if tokens is None else table.index_select(0, tokens)  # (S, C)
        taps = kernel.permute(1, 2, 0).flatten(1).contiguous()  # (C, width·F)
        products = calls(table).times(embedded, taps, False)
        y, where = calls(table).look_up(places, products, bias, size)
        ctx.save_for_backward(y, where, places, products, embedded, taps)
        ctx.tokens, ctx.shape, ctx.size = tokens, table.shape, size
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, where, places, products, embedded, taps = ctx.saved_tensors
        g = _before_relu(dy, y)
        dproducts = calls(dy).look_up_backward(g, where, places, products, ctx.size)  # (S, width·F)
        dtable = calls(dy).times(dproducts, taps, True)
        if ctx.tokens is not None:
            dtable = torch.sparse_coo_tensor(ctx.tokens.unsqueeze(0), dtable, ctx.shape, check_invariants=False)
        dkernel = embedded.T.mm(dproducts).unflatten(1, (-1, y.shape[2])).permute(2, 0, 1)
        return None, dtable, dkernel.contiguous(), g.sum((0, 1)), None


def distinct(tokens: Tensor, vocabulary: int) -> tuple[Tensor | None, Tensor]:
    """The tokens (S,) that stand in `tokens` (B, T), and the place of each there among them (B, T); None: all of them.

    How many differ in a batch only a CUDA device would know: the shapes there are those of all of them.
    """
    if tokens.is_cuda:
        return None, tokens
    places = tokens.flatten().long()
    stands = torch.zeros(vocabulary, dtype=torch.int32).index_fill_(0, places, 1)
    order = stands.cumsum(0, dtype=torch.int32) - 1
    return stands.nonzero().squeeze(1), order.index_select(0, places).view_as(tokens)


class Recurrence(torch.autograd.Function):
    """x (B, T, C) with the weights and masks of `impl_torch.recurrent.GRU` → its last state (B, U).

    What does not depend on the state is done for all time steps at once: the products of the inputs before, and the
    gradients of all weights after.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, d: Tensor, m: Tensor, hard: bool
    ) -> Tensor:
        samples, steps, _ = x.shape
        # A step's values of all samples lie together: what is done at a step runs through them without a gap.
        masked = (x.transpose(0, 1).contiguous() * d.unsqueeze(1)).flatten(1, 2)  # (G, T·B, C)
        gates = torch.baddbmm(bias, masked, kernel).unflatten(1, (steps, samples))  # (G, T, B, U)
        last, saved = calls(x).gru(gates, recurrent, m, hard)
        ctx.save_for_backward(saved, masked, kernel, recurrent, d, m)
        ctx.hard = hard
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dlast: Tensor) -> tuple[Tensor | None, ...]:
        saved, masked, kernel, recurrent, d, m = ctx.saved_tensors
        steps = saved.shape[1:3]
        dgates = calls(dlast).gru_backward(dlast.contiguous(), saved, recurrent, m, ctx.hard).flatten(1, 2)
        h, _, r, _ = saved
        state = torch.stack((h, h, r * h)) * m.unsqueeze(1)  # (G, T, B, U): what the recurrent kernels multiplied
        drecurrent = torch.bmm(state.flatten(1, 2).transpose(1, 2), dgates)
        dkernel = torch.bmm(masked.transpose(1, 2), dgates)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (torch.bmm(dgates, kernel.transpose(1, 2)).unflatten(1, steps) * d.unsqueeze(1)).sum(0)
            dx = dx.transpose(0, 1)  # (B, T, C)
        return dx, dkernel, drecurrent, dgates.sum(1, keepdim=True), None, None, None


def _before_relu(dy: Tensor, y: Tensor) -> Tensor:
    """The gradient that passes relu, whose value is y."""
    return torch.ops.aten.threshold_backward(dy.contiguous(), y, 0)


def fuse(model: Model) -> tuple[Callable[[Tensor, Masks | None], Tensor], str]:
    """The same function as `model`, of the same weights, and in words which of its layers it computes otherwise.

    A layer that has no form here is computed by its own module.
    """
    parts = list(_parts(list(model.layers.items())))

    def forward(x: Tensor, masks: Masks | None = None) -> Tensor:
        for _, form in parts:
            x = form(x, masks or {})
        return x.squeeze(1)

    return forward, "; ".join(words for words, _ in parts)


def _parts(layers: Sequence[tuple[str, nn.Module]]) -> Iterator[tuple[str, Form]]:
    """In order, what computes which layers, in words and as a function."""
    place = 0
    while place < len(layers):
        kinds = [type(module) for _, module in layers[place:]]
        if kinds[:2] == [Embedding, Conv1D]:
            count, make = 2, _table_convolution
        elif kinds[:1] == [Conv1D]:
            count, make = 1, _convolution
        elif kinds[:1] == [GRU]:
            count, make = 1, _recurrence
        else:
            count, make = 1, _as_it_is
        if count + place < len(layers) and make in (_table_convolution, _convolution) and kinds[count] in POOLS:
            count += 1
        names = [name for name, _ in layers[place : place + count]]
        how = "by its own module" if make is _as_it_is else "one call"
        yield f"{' + '.join(names)}: {how}", make(*layers[place : place + count])
        place += count


POOLS = (MaxPool1D, GlobalMaxPool1D)
Layer = tuple[str, nn.Module]


def _size(pool: Sequence[Layer], steps: int) -> int:
    """Time steps in a maximum: 1 without pooling, all of them under global pooling."""
    if not pool:
        return 1
    module = pool[0][1]
    return module.kernel_size if isinstance(module, MaxPool1D) else steps


def _pooled(y: Tensor, pool: Sequence[Layer]) -> Tensor:
    return y.squeeze(1) if pool and isinstance(pool[0][1], GlobalMaxPool1D) else y


def _convolution(layer: Layer, *pool: Layer) -> Form:
    module = layer[1]

    def form(x: Tensor, masks: Masks) -> Tensor:
        size = _size(pool, x.shape[1] - module.kernel_size[0] + 1)
        return _pooled(Convolution.apply(x, module.weight, module.bias, size), pool)

    return form


def _table_convolution(embedding: Layer, layer: Layer, *pool: Layer) -> Form:
    table, module = embedding[1].weight, layer[1]

    def form(x: Tensor, masks: Masks) -> Tensor:
        size = _size(pool, x.shape[1] - module.kernel_size[0] + 1)
        return _pooled(TableConvolution.apply(x.contiguous(), table, module.weight, module.bias, size), pool)

    return form


def _recurrence(layer: Layer) -> Form:
    name, module = layer
    hard = module.layer.gate == "hard_sigmoid"

    def form(x: Tensor, masks: Masks) -> Tensor:
        shapes = {"input": module.features, "recurrent": module.layer.units}
        d, m = (
            masks[key] if (key := f"{name}.{what}") in masks else module.bias.new_ones(3, len(x), size)
            for what, size in shapes.items()
        )
        return Recurrence.apply(
            x, module.kernel, module.recurrent_kernel, module.bias, d.contiguous(), m.contiguous(), hard
        )

    return form


def _as_it_is(layer: Layer) -> Form:
    module = layer[1]

    def form(x: Tensor, masks: Masks) -> Tensor:
        x = module(x.transpose(1, 2) if x.dim() == 3 else x)
        return x.transpose(1, 2) if x.dim() == 3 else x

    return form
