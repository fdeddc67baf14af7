"""The layers a workload is made of: their output shapes and the weights they own, nothing else.

Shapes leave the batch axis out: `(time_steps, features)` for a series, `(units,)` for a vector, `(time_steps,)`
for token ids. Weight layouts are the canonical ones of the suite: a kernel maps its last-but-one axis to its
last axis; the gates of a GRU stand in the order z (update), r (reset), h (candidate), those of an LSTM in the order
i (input), f (forget), c (candidate), o (output).
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Shape = tuple[int, ...]
Gate = Literal["sigmoid", "hard_sigmoid"]

GRU_GATES = 3  # z, r, h
LSTM_GATES = 4  # i, f, c, o


def _require_positive(layer: object, **values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{type(layer).__name__}.{name} is {value!r}; expected an integer of at least 1")


def _require_rank(layer: object, shape: Shape, rank: int) -> None:
    if len(shape) != rank:
        raise ValueError(f"{type(layer).__name__} got input shape {shape}; expected {rank} axes without the batch")


@dataclass(frozen=True)
class Embedding:
    """A table row per token: (time_steps,) ids below `vocabulary` → (time_steps, units)."""

    name: str = field(metadata={"digest": False})
    vocabulary: int
    units: int
    kind: ClassVar[str] = "embedding"

    def __post_init__(self) -> None:
        _require_positive(self, vocabulary=self.vocabulary, units=self.units)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 1)
        return (shape[0], self.units)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {"table": (self.vocabulary, self.units)}


@dataclass(frozen=True)
class Conv1D:
    """A convolution over time with relu: stride 1, no padding; (T, C) → (T - width + 1, filters)."""

    name: str = field(metadata={"digest": False})
    filters: int
    width: int
    kind: ClassVar[str] = "conv1d"

    def __post_init__(self) -> None:
        _require_positive(self, filters=self.filters, width=self.width)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        steps = shape[0] - self.width + 1
        if steps < 1:
            raise ValueError(
                f"{self.name} of width {self.width} needs at least {self.width} time steps, got {shape[0]}"
            )
        return (steps, self.filters)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {"kernel": (self.width, shape[1], self.filters), "bias": (self.filters,)}


@dataclass(frozen=True)
class CausalConv1D:
    """A dilated convolution over time with relu that sees no later time step; (T, C) → (T, filters).

        y_t = relu(sum over k of x_(t - (width - 1 - k) * dilation) @ W_k + b),  with zeros before the series begins

    Source: van den Oord et al. 2016 (arXiv 1609.03499, section 2.1), without its gated units and skip connections.
    """

    name: str = field(metadata={"digest": False})
    filters: int
    width: int
    dilation: int
    kind: ClassVar[str] = "causalconv1d"

    def __post_init__(self) -> None:
        _require_positive(self, filters=self.filters, width=self.width, dilation=self.dilation)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        return (shape[0], self.filters)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {"kernel": (self.width, shape[1], self.filters), "bias": (self.filters,)}


@dataclass(frozen=True)
class MaxPool1D:
    """The maximum of each `size` time steps; a tail shorter than `size` is dropped; (T, C) → (T // size, C)."""

    name: str = field(metadata={"digest": False})
    size: int
    kind: ClassVar[str] = "maxpool1d"

    def __post_init__(self) -> None:
        _require_positive(self, size=self.size)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        steps = shape[0] // self.size
        if steps < 1:
            raise ValueError(f"{self.name} of size {self.size} needs at least {self.size} time steps, got {shape[0]}")
        return (steps, shape[1])

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {}


@dataclass(frozen=True)
class GlobalMaxPool1D:
    """The maximum over all time steps; (T, C) → (C,)."""

    name: str = field(metadata={"digest": False})
    kind: ClassVar[str] = "globalmaxpool1d"

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        return (shape[1],)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {}


@dataclass(frozen=True)
class LastStep:
    """The last time step; (T, C) → (C,)."""

    name: str = field(metadata={"digest": False})
    kind: ClassVar[str] = "laststep"

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        return (shape[1],)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {}


@dataclass(frozen=True)
class GRU:
    """A gated recurrent unit that returns its last state; the reset gate acts *before* the recurrent product.

    (T, C) → (units,). With d a mask on the input x and m one on the state h, both drawn once per batch, per sample
    and per gate, constant over time, scaled by 1/(1-p) and absent in evaluation:

        z  = gate(x*d_z @ W_z + h*m_z @ U_z + b_z)
        r  = gate(x*d_r @ W_r + h*m_r @ U_r + b_r)
        c  = tanh(x*d_h @ W_h + (r * h*m_h) @ U_h + b_h)
        h' = z*h + (1 - z)*c                                    the carried h is not masked

    `gate` is the logistic function or the hard one, clip(0.2 a + 0.5, 0, 1). Source: Cho et al. 2014 (arXiv
    1406.1078v3, equations 5 to 8); masks after Gal and Ghahramani 2016 (arXiv 1512.05287).
    """

    name: str = field(metadata={"digest": False})
    units: int
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    gate: Gate = "sigmoid"
    kind: ClassVar[str] = "gru"

    def __post_init__(self) -> None:
        _require_positive(self, units=self.units)
        for name in ("dropout", "recurrent_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"GRU.{name} is {getattr(self, name)!r}; expected a share in [0, 1)")
        if self.gate not in ("sigmoid", "hard_sigmoid"):
            raise ValueError(f"GRU.gate is {self.gate!r}; expected 'sigmoid' or 'hard_sigmoid'")

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        return (self.units,)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        gates = GRU_GATES * self.units
        return {"kernel": (shape[1], gates), "recurrent_kernel": (self.units, gates), "bias": (gates,)}

    def masks(self, shape: Shape, batch: int) -> dict[str, Shape]:
        """Shapes of the dropout masks of one batch: gate, sample, feature or unit."""
        return {"input": (GRU_GATES, batch, shape[1]), "recurrent": (GRU_GATES, batch, self.units)}


@dataclass(frozen=True)
class LSTM:
    """Long short-term memory that returns its last state; (T, C) → (units,).

        i  = sigmoid(x @ W_i + h @ U_i + b_i)
        f  = sigmoid(x @ W_f + h @ U_f + b_f)
        c~ = tanh   (x @ W_c + h @ U_c + b_c)
        o  = sigmoid(x @ W_o + h @ U_o + b_o)
        c' = f*c + i*c~
        h' = o*tanh(c')

    Its gates are logistic, and one bias serves input and state. The forget gate's bias starts at 1: at 0 the cell would
    forget half of itself every time step. Source: Gers et al. 2000 (doi 10.1162/089976600300015015), in the form of
    Zaremba et al. 2014 (arXiv 1409.2329, section 3.1); the bias after Jozefowicz et al. 2015 (PMLR 37, 2342-2350).
    """

    name: str = field(metadata={"digest": False})
    units: int
    kind: ClassVar[str] = "lstm"

    def __post_init__(self) -> None:
        _require_positive(self, units=self.units)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 2)
        return (self.units,)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        gates = LSTM_GATES * self.units
        return {"kernel": (shape[1], gates), "recurrent_kernel": (self.units, gates), "bias": (gates,)}


@dataclass(frozen=True)
class Dense:
    """A linear map without activation; (C,) → (units,)."""

    name: str = field(metadata={"digest": False})
    units: int
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _require_positive(self, units=self.units)

    def output_shape(self, shape: Shape) -> Shape:
        _require_rank(self, shape, 1)
        return (self.units,)

    def weights(self, shape: Shape) -> dict[str, Shape]:
        return {"kernel": (shape[0], self.units), "bias": (self.units,)}


Recurrent = GRU | LSTM
Layer = Embedding | Conv1D | CausalConv1D | MaxPool1D | GlobalMaxPool1D | LastStep | Recurrent | Dense
