"""The least that one training step can cost on any machine, from a spec and its data: what no exact rewrite avoids.

`bench.cost` counts what the layers do as they are written; this counts what is left of it when everything is used that
leaves the result as it is, so that a fast step can be held against it:

- **Arithmetic**: matrix products only, 2 for every multiply-add. What a batch holds twice is multiplied once: tokens of
  an embedding, rows that windows of a series share. Behind a maximum only the time step it was found at has a gradient,
  and what is dropped behind the last one is not computed. Of a stack of causal convolutions of which the last time step
  is taken, only the time steps it sees count, and no tap on the zeros before the series.
- **Bytes**: what the batch holds once, in float32 and int32, and its targets; the dropout masks not at all (they can be
  drawn where they are used); every weight and its running square read once and written once. Of an embedding only the
  rows of the batch's tokens: a row without gradient keeps its weights, and its running square can be decayed when it is
  next used. Whatever lies between two layers may stay in a cache.
- **Chain**: operations of which each needs the one before, of a recurrence taken step by step, forward and backward.
  See `_chain`.

Each is a floor by itself: a step takes at least the largest of the three, divided by what the machine reaches
(`bench.measure.measure_ceiling`). Three things could make it lower still: maxima where relu is zero, which have no
gradient; outputs that no later maximum chose; and, going back, a recurrence that is not taken step by step.
"""

import math
from dataclasses import dataclass

import numpy as np

from bench import layers
from bench.cost import VALUE_BYTES
from bench.data.windows import Dataset
from bench.layers import GRU_GATES, LSTM_GATES, Layer, Shape
from bench.record import Floor
from bench.workload import Workload

BATCHES = 20
"""Of the first epoch, in which distinct inputs are counted."""


@dataclass(frozen=True)
class _Place:
    """Where a layer stands."""

    samples: int
    shape: Shape
    passes: int
    """Of every product: forward, gradient of the weights, gradient of the input where a weight stands before."""
    after: Layer | None
    distinct: int | None
    """Inputs of a time step that differ among all of the batch; None behind a layer that mixes time steps."""


def floor(workload: Workload, distinct_inputs: float) -> Floor:
    """`distinct_inputs`: of a batch, see below."""
    pairs = list(workload.layer_inputs())
    taps = _taps(pairs)
    flops = chain = 0
    distinct: int | None = int(distinct_inputs)
    flows_back = False  # a weight stands before this layer, so its input needs a gradient
    for number, (layer, shape) in enumerate(pairs):
        after = pairs[number + 1][0] if number + 1 < len(pairs) else None
        place = _Place(workload.batch_size, shape, 3 if flows_back else 2, after, distinct)
        match layer:
            case layers.Conv1D():
                flops += _convolution(layer, place)
            case layers.CausalConv1D(filters=filters):
                flops += place.passes * place.samples * taps[layer.name] * 2 * shape[1] * filters
            case layers.GRU() | layers.LSTM():
                flops += _recurrent(layer, place)
                chain += shape[0] * _chain(layer)
            case layers.Dense(units=units):
                flops += place.passes * place.samples * 2 * shape[0] * units
        distinct = distinct if isinstance(layer, layers.Embedding) else None
        flows_back = flows_back or bool(layer.weights(shape))
    return Floor(flops, _bytes(workload, int(distinct_inputs)), chain, distinct_inputs)


def distinct_inputs(dataset: Dataset, seed: int) -> float:
    """Tokens, or rows of the series, that a batch holds: mean over batches of the first epoch of a training."""
    counts = []
    for batch in dataset.train_batches(seed, 1)[:BATCHES]:
        rows = batch if dataset.offsets is None else batch[:, np.newaxis] + dataset.offsets
        counts.append(len(np.unique(dataset.inputs[rows] if dataset.offsets is None else rows)))
    return float(np.mean(counts))


def _convolution(layer: layers.Conv1D, place: _Place) -> int:
    """Each pass the cheaper way: at every place, or once for each window, or token and tap, that differs."""
    steps = layer.output_shape(place.shape)[0]
    maxima, size = _maxima(place.after, steps)
    forward, back = place.samples * maxima * size, place.samples * maxima
    most = math.inf
    if place.distinct is not None:
        by_token = place.passes == 3  # behind an embedding: a product with each tap, summed
        # A row more begins a window more, but for the last ones of each sample.
        most = place.distinct if by_token else max(0, place.distinct - place.samples * (layer.width - 1))
    places = min(forward, most) + (place.passes - 1) * min(back, most)
    return int(places * 2 * layer.width * place.shape[1] * layer.filters)


def _recurrent(layer: layers.GRU | layers.LSTM, place: _Place) -> int:
    """Of the input once for each that differs, unless every sample has a mask of its own on it."""
    gates = GRU_GATES if isinstance(layer, layers.GRU) else LSTM_GATES
    shared = place.distinct is not None and not getattr(layer, "dropout", 0.0)
    inputs = place.samples * place.shape[0]
    if shared and place.distinct is not None:
        inputs = min(inputs, place.distinct)
    states = place.samples * (place.shape[0] - 1)  # the first state is zero
    return 2 * gates * layer.units * (place.passes * inputs * place.shape[1] + 3 * states * layer.units)


def _maxima(after: Layer | None, steps: int) -> tuple[int, int]:
    """How many maxima are taken of `steps` outputs, and of how many each."""
    match after:
        case layers.MaxPool1D(size=size):
            return steps // size, size
        case layers.GlobalMaxPool1D():
            return 1, steps
    return steps, 1


def _taps(pairs: list[tuple[Layer, Shape]]) -> dict[str, int]:
    """Of every causal convolution the products of a tap with a time step that what follows it looks at."""
    found: dict[str, int] = {}
    seen: set[int] | None = None  # by the layer behind; None: all of them
    for layer, shape in reversed(pairs):
        match layer:
            case layers.LastStep():
                seen = {shape[0] - 1}
            case layers.CausalConv1D(width=width, dilation=dilation):
                steps = set(range(shape[0])) if seen is None else seen
                looked_at = [t - k * dilation for t in steps for k in range(width) if t >= k * dilation]
                found[layer.name], seen = len(looked_at), set(looked_at)
            case _:
                seen = None
    return found


def _bytes(workload: Workload, distinct: int) -> int:
    tokens = isinstance(workload.layers[0], layers.Embedding)
    inputs = workload.batch_size * workload.input_shape[0] if tokens else distinct * workload.input_shape[1]
    values = inputs + workload.batch_size  # and targets
    for layer, shape in workload.layer_inputs():
        rows = layer.units * distinct if isinstance(layer, layers.Embedding) else None
        # weight and square, in and out
        values += 4 * (sum(map(math.prod, layer.weights(shape).values())) if rows is None else rows)
    return VALUE_BYTES * values


def _chain(layer: layers.GRU | layers.LSTM) -> int:
    """Operations in a row from one time step's state to the next one's and, going back, of their gradients.

    A multiplication with an addition behind it is one, and a factor that does not depend on the state is free. A
    product of the state takes 1 multiplication and log2 U additions. GRU, forward: product, gate, r*h, product, tanh,
    z*h + (1-z)*c; backward: dh times (1-z)(1-c²), product, times h g'(r), product, sum to dh. LSTM, forward: product,
    gate, f*c + i*c~, tanh, o tanh(c); backward: dh times o(1-tanh²) with dc, times i (1-c~²), product. A gate and a
    tanh count 1 and a mask nothing, whatever they cost.
    """
    product = 1 + math.ceil(math.log2(layer.units))
    if isinstance(layer, layers.GRU):
        return (2 * product + 4) + (2 * product + 3)
    return (product + 4) + (product + 2)
