"""The forms of `keras-tuned`: layers that compute what Keras' own compute, of the same weights, in fewer operations.

Shapes on the lines: B samples, T time steps, C channels, F filters, U units, G = 3 gates in the order z, r, h.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from bench import layers
from bench.layers import GRU_GATES, Layer
from bench.workload import Workload
from impl_keras.model import hard_sigmoid

forms = importlib.import_module(f"impl_keras.forms_{keras.backend.backend()}")
Tensor = Any
"""A tensor of whichever backend Keras runs on."""


class TableConvolution(keras.layers.Layer):
    """(B, T) tokens → (B, T - width + 1, F): an embedding and the convolution with relu behind it.

    A token meets each tap of the kernel as the same product wherever it stands, so that product is taken once for every
    token the batch uses: P[v, k] = E[v] W[k], and y[b,t] = relu(sum over k of P[x[b,t+k], k] + b).
    """

    def __init__(self, embedding: keras.layers.Embedding, convolution: keras.layers.Conv1D) -> None:
        super().__init__(name=convolution.name)
        self.embedding, self.convolution = embedding, convolution
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        kernel = self.convolution.kernel  # (width, C, F)
        width, channels, filters = kernel.shape
        taps = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (channels, width * filters))
        rows, slots = forms.distinct_rows(self.embedding.embeddings, tokens)  # (D, C), (B, T) which of them
        products = ops.reshape(ops.matmul(rows, taps), (-1, filters))  # (D·width, F)
        steps = tokens.shape[1] - width + 1
        places = ops.stack([slots[:, k : k + steps] * width + k for k in range(width)], axis=-1)  # (B, T', width)
        return ops.relu(forms.sums_of_rows(products, places, self.embedding.input_dim * width) + self.convolution.bias)


class LoopGRU(keras.layers.Layer):
    """(B, T, C) → (B, U): the recurrence of a `keras.layers.GRU` as one loop.

    The products of the inputs with their kernels are taken for all time steps at once, and so are the gradients of the
    weights after the recurrence. The masks are those that the layer's cell gives or draws.
    """

    def __init__(self, gru: keras.layers.GRU, gate: layers.Gate) -> None:
        super().__init__(name=gru.name)
        self.recurrence, self.gate = gru, gate
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        cell = self.recurrence.cell
        d = cell.get_dropout_mask(x[:, 0]) if training and cell.dropout else None
        kernel, recurrent, bias = (
            _by_gate(weight, cell.units) for weight in (cell.kernel, cell.recurrent_kernel, cell.bias)
        )
        x = ops.transpose(x, (1, 0, 2))  # (T, B, C)
        of_input = ops.stack(
            [ops.matmul(x if d is None else x * d[g], kernel[g]) + bias[g] for g in range(GRU_GATES)], axis=1
        )  # (T, G, B, U)
        h = ops.zeros_like(of_input[0, 0])
        m = (
            cell.get_recurrent_dropout_mask(h)
            if training and cell.recurrent_dropout
            else [ops.ones_like(h)] * GRU_GATES
        )
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
        return forms.recur(of_input, ops.stack(recurrent), ops.stack(list(m)), *GATES[self.gate])


def _by_gate(weight: Tensor, units: int) -> list[Tensor]:
    return [weight[..., g * units : (g + 1) * units] for g in range(GRU_GATES)]


GATES: dict[layers.Gate, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "sigmoid": (ops.sigmoid, lambda y: y * (1 - y)),
    "hard_sigmoid": (hard_sigmoid, lambda y: 0.2 * ops.cast((y > 0) & (y < 1), y.dtype)),
}
"""Gate activation, and its slope as a function of its value."""


def fuse(model: keras.Sequential, workload: Workload) -> keras.Sequential:
    """A model of the same weights that computes the same, with the forms of this module where there are any."""
    inputs = keras.Input(workload.input_shape, dtype=model.inputs[0].dtype)
    return keras.Sequential([inputs, *_parts(list(zip(workload.layers, model.layers, strict=True)))], name=model.name)


def _parts(pairs: Sequence[tuple[Layer, keras.Layer]]) -> Iterator[keras.Layer]:
    place = 0
    while place < len(pairs):
        match pairs[place : place + 2]:
            case [(layers.Embedding(), embedding), (layers.Conv1D(), convolution)]:
                yield TableConvolution(embedding, convolution)
                place += 1
            case [(layers.GRU() as spec, gru), *_]:
                yield LoopGRU(gru, spec.gate)
            case [(_, as_it_is), *_]:
                yield as_it_is
        place += 1
