"""What one training step costs on paper, from a spec alone: arithmetic and memory traffic, layer by layer.

**FLOPs.** A training step is the forward pass, the backward pass and the RMSprop update of one full batch.
- A matrix product counts 2 for every multiply-add. Backward has one product for a weight's gradient and one for the
  input's; the latter only where a weight stands before the layer, so the first layer on raw series has none, while a
  convolution on an embedding has one. Recurrent products count at every time step, the first included, and those of a
  causal convolution over the zeros before the series too.
- Elementwise: 1 for each addition, multiplication, comparison, root or activation of one element, whatever it really
  costs. Bias 1 forward and 1 backward (its sum); relu 1 and 1; a pooled value, size - 1 comparisons and nothing
  backward (routing is no arithmetic); an embedding nothing forward (a gather) and 1 addition per gathered element
  backward; per time step a GRU unit 14 forward and 22 backward, an LSTM unit 17 and 27 (see `_recurrent`); a dropout
  mask 1 forward and 1 backward; taking the last time step nothing.
- Update: 9 for each parameter; the embedding's gradient is dense, so every row of the table is updated.
Not counted: loss and metrics (a few operations a sample), drawing masks, gathering the batch.

**Bytes.** Compulsory traffic in float32, ids in int32: every tensor moves once for each use, nothing between uses
stays in a cache, a layer's own bias, activation and masking ride along with its main operation.
- Forward: reads input, weights and masks, writes output; an embedding reads only the gathered rows; a recurrent layer
  also writes its state and gates of every time step (GRU: h, z, r, c; LSTM: h, c, i, f, c~, o) and reads its weights
  once for the whole sequence; the last time step is read alone.
- Backward: reads the output's gradient and what was saved of the forward pass (its input; relu: its output too;
  recurrent: states, gates and masks); writes the weights' gradients; where the input's gradient is needed, reads the
  weights and writes it, zeros too. Pooling reads its input again to find the maxima. A recurrent layer reads its
  recurrent kernel in any case.
- Update: reads weight, running square and gradient, writes weight and running square.
"""

import math
from dataclasses import dataclass

from bench import layers
from bench.layers import GRU_GATES, LSTM_GATES, Layer, Recurrent, Shape
from bench.workload import Workload

VALUE_BYTES = 4  # float32, and int32 for token ids
UPDATE_FLOPS = 9  # rho v, g g, (1 - rho) g², their sum, + epsilon, root, learning rate times g, quotient, difference
UPDATE_MOVES = 5  # weight, running square and gradient in; weight and running square out


@dataclass(frozen=True)
class LayerCost:
    """One layer's share of a training step."""

    name: str
    kind: str
    product_flops: int
    """Matrix products, forward and backward."""
    elementwise_flops: int
    update_flops: int
    forward_bytes: int
    backward_bytes: int
    update_bytes: int

    @property
    def flops(self) -> int:
        return self.product_flops + self.elementwise_flops + self.update_flops

    @property
    def bytes(self) -> int:
        return self.forward_bytes + self.backward_bytes + self.update_bytes


def costs(workload: Workload) -> tuple[LayerCost, ...]:
    """Every layer's cost of one training step on a full batch, in the order of the layers."""
    rows, flows_back = [], False  # flows_back: a weight stands before this layer, so its input needs a gradient
    for layer, shape in workload.layer_inputs():
        parameters = sum(math.prod(extent) for extent in layer.weights(shape).values())
        products, elementwise, forward, backward = _layer(layer, shape, workload.batch_size, flows_back)
        rows.append(
            LayerCost(
                name=layer.name,
                kind=layer.kind,
                product_flops=products,
                elementwise_flops=elementwise,
                update_flops=UPDATE_FLOPS * parameters,
                forward_bytes=VALUE_BYTES * forward,
                backward_bytes=VALUE_BYTES * backward,
                update_bytes=VALUE_BYTES * UPDATE_MOVES * parameters,
            )
        )
        flows_back = flows_back or parameters > 0
    return tuple(rows)


def training_flops(workload: Workload) -> int:
    """Arithmetic operations of one training step on a full batch, by the rule at the top of this file."""
    return sum(row.flops for row in costs(workload))


def training_bytes(workload: Workload) -> int:
    """Bytes that one training step on a full batch must move, by the rule at the top of this file."""
    return sum(row.bytes for row in costs(workload))


def _layer(layer: Layer, shape: Shape, batch: int, flows_back: bool) -> tuple[int, int, int, int]:
    """FLOPs of products and of elementwise work, values moved forward and backward."""
    inputs = batch * math.prod(shape)
    outputs = batch * math.prod(layer.output_shape(shape))
    weights = sum(math.prod(extent) for extent in layer.weights(shape).values())
    passes = 3 if flows_back else 2  # of every product: forward, weight's gradient, input's gradient
    back_to_input = weights + inputs if flows_back else 0
    match layer:
        case layers.Embedding():
            return 0, outputs, inputs + 2 * outputs, inputs + outputs + weights
        case layers.Conv1D(width=width) | layers.CausalConv1D(width=width):
            products = passes * 2 * outputs * width * shape[1]
            return products, 4 * outputs, inputs + weights + outputs, 2 * outputs + inputs + weights + back_to_input
        case layers.MaxPool1D(size=size):
            return _pool(inputs, outputs, size, flows_back)
        case layers.GlobalMaxPool1D():
            return _pool(inputs, outputs, shape[0], flows_back)
        case layers.LastStep():
            return 0, 0, 2 * outputs, (outputs + inputs if flows_back else 0)
        case layers.GRU():
            masked = bool(layer.dropout), bool(layer.recurrent_dropout)
            return _recurrent(layer, shape, batch, flows_back, GRU_GATES, elementwise=14 + 22, saved=4, masked=masked)
        case layers.LSTM():
            return _recurrent(layer, shape, batch, flows_back, LSTM_GATES, elementwise=17 + 27, saved=6)
        case layers.Dense():
            products = passes * 2 * outputs * shape[0]
            return products, 2 * outputs, inputs + weights + outputs, outputs + inputs + weights + back_to_input
    raise TypeError(f"no cost is known for layer {layer!r}; add it to bench/cost.py")


def _pool(inputs: int, outputs: int, size: int, flows_back: bool) -> tuple[int, int, int, int]:
    return 0, outputs * (size - 1), inputs + outputs, (outputs + 2 * inputs if flows_back else 0)


def _recurrent(
    layer: Recurrent,
    shape: Shape,
    batch: int,
    flows_back: bool,
    gates: int,
    *,
    elementwise: int,
    saved: int,
    masked: tuple[bool, bool] = (False, False),
) -> tuple[int, int, int, int]:
    """`elementwise` operations and `saved` values of each unit and time step; `masked`: dropout on input, on state.

    GRU, forward: 3 biases, 3 sums of the two products, 3 activations, r*h, 4 for the new state; backward: 5 for da_z, 5
    for da_h, 4 for da_r, 5 for dh, 3 for the bias. LSTM, forward: 4 biases, 4 sums, 4 activations, 3 for the new c, 2
    for the new h; backward: tanh(c') again, 5 for dc', 4 for the da of each gate, 1 for dc, 4 for the bias. Equations:
    `bench.reference_recurrent`.
    """
    steps, features = shape
    inputs, states = batch * steps * features, batch * steps * layer.units
    width = gates * layer.units
    kernel, recurrent, bias = features * width, layer.units * width, width
    input_mask = batch * gates * features if masked[0] else 0
    state_mask = batch * gates * layer.units if masked[1] else 0

    product = 2 * gates * states
    from_input = (3 if flows_back else 2) * product * features
    from_state = 3 * product * layer.units
    masking = steps * ((2 if flows_back else 1) * input_mask + 2 * state_mask)

    weights = kernel + recurrent + bias
    last = batch * layer.units
    forward = inputs + weights + input_mask + state_mask + saved * states + last
    backward = last + inputs + saved * states + input_mask + state_mask + recurrent + weights
    return (
        from_input + from_state,
        elementwise * states + masking,
        forward,
        backward + (kernel + inputs if flows_back else 0),
    )
