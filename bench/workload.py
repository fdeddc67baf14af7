"""What a workload is: layers, loss, optimiser, data window and schedule, frozen and validated.

Everything the suite says about a workload before it runs comes from here: shapes, parameter counts and the digest
that decides whether two results may be compared. Costs (FLOPs, bytes) are derived in `bench.cost`.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from bench.errors import UsageError
from bench.layers import GRU, LSTM, Embedding, Gate, Layer, Shape

Loss = Literal["binary_crossentropy", "mean_absolute_error"]
Head = Literal["logits", "as_published"]
Precision = Literal["float32", "tf32", "bf16", "float64"]
"""Of the operands of products and convolutions; weights, their updates and the loss are in float32.

`float32`: all 23 bits of the fraction, TF32 off. `tf32`: 10 of them, where an NVIDIA GPU multiplies on its tensor
cores. `bf16`: 7 of them, by the frameworks' own mixed precision, torch.autocast and Keras' policy mixed_bfloat16, which
leave the operations between the products in bfloat16 too, not the same ones. `float64`, weights and all, is for the
parity gate: no workload has it.
"""
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")
"""That a workload can have."""

SEMANTICS = 1
"""Raised when code changes what a result means without a spec changing (batch order, initial weights, timed region)."""


def _require_count(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{owner}.{name} is {value!r}; expected an integer of at least 1")


@dataclass(frozen=True)
class RMSprop:
    """Keras 3's RMSprop: v = rho v + (1 - rho) g²; w = w - learning_rate g / sqrt(v + epsilon).

    Source: keras.io/api/optimizers/rmsprop (Keras 3.15). Epsilon stands *inside* the root, unlike in PyTorch's own.
    """

    learning_rate: float
    rho: float = 0.9
    epsilon: float = 1e-7
    epsilon_inside: ClassVar[bool] = True
    """Of the root."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"RMSprop.learning_rate is {self.learning_rate!r}; expected a number above 0")
        if not 0 <= self.rho < 1 or not self.epsilon > 0:
            raise ValueError(f"RMSprop has rho {self.rho!r}, epsilon {self.epsilon!r}; expected [0, 1) and above 0")


@dataclass(frozen=True)
class BookRMSprop(RMSprop):
    """The one the book's figures were made with: w = w - learning_rate g / (sqrt(v) + epsilon).

    Source: optimizers.py of Keras 2.0.8. The setting `optimizer-book`, to see what the difference does to a curve.
    """

    epsilon: float = 1e-8
    epsilon_inside: ClassVar[bool] = False


@dataclass(frozen=True)
class Reviews:
    """IMDB reviews as token ids, cut or padded in front to `time_steps`; the label is 1 for a positive review.

    A word's rank is shifted by `index_from`; an id of `vocabulary` or more then becomes `out_of_vocabulary`.
    Samples are shuffled once by NumPy's legacy RandomState(`shuffle_seed`); the last `validation_share` of the
    `samples` training reviews validate, the others train.
    """

    vocabulary: int = 10_000
    time_steps: int = 500
    samples: int = 25_000
    validation_share: float = 0.2
    padding: int = 0
    start: int = 1
    out_of_vocabulary: int = 2
    index_from: int = 3
    shuffle_seed: int = 113

    def __post_init__(self) -> None:
        for name in ("vocabulary", "time_steps", "samples"):
            _require_count("Reviews", name, getattr(self, name))
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"Reviews.validation_share is {self.validation_share!r}; expected a share in [0, 1)")
        for name in ("padding", "start", "out_of_vocabulary"):
            if not 0 <= getattr(self, name) < self.vocabulary:
                raise ValueError(f"Reviews.{name} is {getattr(self, name)!r}; expected an id below {self.vocabulary}")

    @property
    def input_shape(self) -> Shape:
        return (self.time_steps,)

    @property
    def train_samples(self) -> int:
        return self.samples - round(self.samples * self.validation_share)


@dataclass(frozen=True)
class Series:
    """Windows of the Jena weather series (rows ten minutes apart) and the temperature `delay` rows later.

    A window that ends before row i holds rows i - lookback, i - lookback + step, …; its target is feature `target`
    of row i + delay. Training ends are drawn uniformly with replacement from [lookback, train_rows), validation walks
    forward through [train_rows + 1 + lookback, validation_rows), test through
    [validation_rows + 1 + lookback, rows - delay - 1). Mean and standard deviation come from the first `train_rows`.
    A series of another length has the three boundaries scaled in proportion to `rows`.
    """

    lookback: int
    step: int
    delay: int = 144
    features: int = 14
    target: int = 1
    train_rows: int = 200_000
    validation_rows: int = 300_000
    rows: int = 420_551

    def __post_init__(self) -> None:
        if self.step < 1 or self.lookback < self.step or self.lookback % self.step:
            raise ValueError(f"Series.lookback {self.lookback} must be a positive multiple of its step {self.step}")
        if not 0 <= self.target < self.features:
            raise ValueError(f"Series.target is {self.target}; expected a feature below {self.features}")
        if self.delay < 0:
            raise ValueError(f"Series.delay is {self.delay}; expected at least 0 rows")
        if not self.lookback < self.train_rows < self.validation_rows < self.rows:
            raise ValueError(
                f"Series has lookback {self.lookback}, train_rows {self.train_rows}, validation_rows "
                f"{self.validation_rows}, rows {self.rows}; expected them to grow in this order"
            )

    @property
    def time_steps(self) -> int:
        return self.lookback // self.step

    @property
    def input_shape(self) -> Shape:
        return (self.time_steps, self.features)


@dataclass(frozen=True)
class Quality:
    """What a training is judged by, on the validation set; declared before the trainings it judges.

    `target` is what time-to-quality waits for; `naive` stands for the loss of "as warm as now" on the data at hand,
    below which a model begins to be worth anything. Two trainings are equally good within `margin`.
    """

    metric: Literal["accuracy", "loss"]
    target: float | Literal["naive"]
    margin: float

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"Quality.margin is {self.margin!r}; expected a number above 0")


@dataclass(frozen=True)
class Published:
    """Where the published figures of a workload come from, and what they are."""

    curve: str
    """File of per-epoch figures in `bench/published`, columns epoch, seconds, loss, …"""
    source: str
    shapes: tuple[Shape, ...]
    """Output shape of every layer, as the source prints them."""
    layer_parameters: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class LayerShape:
    """One row of a workload's summary table."""

    name: str
    kind: str
    output_shape: Shape
    parameters: int


def _size(shape: Shape) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


@dataclass(frozen=True)
class Workload:
    """One model on one data set with one training schedule; two equal digests mean comparable results."""

    name: str
    title: str = field(metadata={"digest": False})
    layers: tuple[Layer, ...]
    data: Reviews | Series
    loss: Loss
    head: Head | None
    """How a classifier's raw output meets its loss; None for a regression."""
    optimizer: RMSprop
    batch_size: int
    epochs: int
    steps_per_epoch: int
    quality: Quality = field(metadata={"digest": False})
    comparator: bool = field(default=False, metadata={"digest": False})
    """Stands beside the published models for comparison: trained in whole schedules, timed only when it is named."""
    published: Published | None = field(default=None, metadata={"digest": False})
    precision: Precision = field(default="float32", metadata={"digest": "changed"})
    devices: int = field(default=1, metadata={"digest": "changed"})
    """So many share every batch in equal parts: data-parallel training, with the dropout masks of the whole batch."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"workload name {self.name!r} must be a Python identifier (it is its file's name)")
        for name in ("batch_size", "epochs", "steps_per_epoch", "devices"):
            _require_count(self.name, name, getattr(self, name))
        for size in self.batch_sizes():
            if size % self.devices:
                raise ValueError(f"{self.name} has batches of {size} samples, which do not divide by {self.devices}")
        if (self.loss == "binary_crossentropy") != (self.head is not None):
            raise ValueError(
                f"{self.name} has loss {self.loss!r} and head {self.head!r}; a head goes with cross-entropy only"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"{self.name}.precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name} uses a layer name twice: {names}")
        if isinstance(self.data, Reviews):
            full = -(-self.data.train_samples // self.batch_size)
            if self.steps_per_epoch != full:
                raise ValueError(f"{self.name}.steps_per_epoch is {self.steps_per_epoch}; one pass takes {full}")
            first = self.layers[0]
            if not isinstance(first, Embedding) or first.vocabulary != self.data.vocabulary:
                raise ValueError(f"{self.name} must begin with an Embedding of vocabulary {self.data.vocabulary}")
        if self.quality.metric not in self.metrics:
            raise ValueError(f"{self.name}.quality is of {self.quality.metric!r}; its metrics are {self.metrics}")
        if self.summary()[-1].output_shape != (1,):
            raise ValueError(f"{self.name} ends in shape {self.summary()[-1].output_shape}; expected (1,)")

    @property
    def input_shape(self) -> Shape:
        return self.data.input_shape

    def batch_sizes(self) -> tuple[int, ...]:
        """Samples in a batch, the largest first: reviews have a short last one in training, validation and test."""
        if not isinstance(self.data, Reviews):
            return (self.batch_size,)
        train = self.data.train_samples
        lasts = (count % self.batch_size for count in (train, self.data.samples - train, self.data.samples))
        return tuple(sorted({self.batch_size, *lasts} - {0}, reverse=True))

    def layer_inputs(self) -> list[tuple[Layer, Shape]]:
        """Every layer with the shape that reaches it."""
        shape, pairs = self.input_shape, []
        for layer in self.layers:
            pairs.append((layer, shape))
            shape = layer.output_shape(shape)
        return pairs

    def summary(self) -> tuple[LayerShape, ...]:
        """Output shape and parameter count of every layer, in order."""
        return tuple(
            LayerShape(
                layer.name, layer.kind, layer.output_shape(shape), sum(map(_size, layer.weights(shape).values()))
            )
            for layer, shape in self.layer_inputs()
        )

    def weights(self) -> dict[str, Shape]:
        """Canonical name (`layer.weight`) and shape of every weight, in the order of the layers."""
        return {
            f"{layer.name}.{weight}": extent
            for layer, shape in self.layer_inputs()
            for weight, extent in layer.weights(shape).items()
        }

    def masks(self, batch: int) -> dict[str, Shape]:
        """Canonical name and shape of every dropout mask of a batch of `batch` samples; empty without dropout."""
        return {
            f"{layer.name}.{mask}": extent
            for layer, shape in self.layer_inputs()
            if isinstance(layer, GRU) and (layer.dropout or layer.recurrent_dropout)
            for mask, extent in layer.masks(shape, batch).items()
        }

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.summary())

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads it can be trained with; none for a regression.

        A comparator was published with a sigmoid before its loss, which is what `logits` computes: it has no other.
        """
        if self.head is None:
            return ()
        return ("logits",) if self.comparator else get_args(Head)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What training and evaluation report, by name; the loss first."""
        return ("loss", "accuracy") if self.head else ("loss",)

    def digest(self) -> str:
        """A short hash that changes exactly when two results of this workload stop being comparable.

        Titles, layer names and the source of published figures do not enter it; `SEMANTICS` does.
        """
        text = json.dumps({"semantics": SEMANTICS, **_comparable(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def without_dropout(self) -> "Workload":
        """The same workload with every dropout share at 0."""
        return self._with_gru(dropout=0.0, recurrent_dropout=0.0)

    def with_settings(
        self,
        *,
        head: Head | None = None,
        gate: Gate | None = None,
        optimizer: Literal["book"] | None = None,
        batch: int | None = None,
        timesteps: int | None = None,
        precision: Precision | None = None,
        devices: int | None = None,
    ) -> "Workload":
        """The same workload with another head, gate activation, optimiser or precision, other batches, longer samples.

        `devices` share its batches.

        One it does not have, or cannot be computed with, is a UsageError.
        """
        changed = self
        if optimizer is not None:
            changed = dataclasses.replace(
                changed, optimizer=BookRMSprop(self.optimizer.learning_rate, self.optimizer.rho)
            )
        if head is not None:
            if self.head is None:
                raise UsageError(f"--head {head}: workload '{self.name}' is a regression without a head; leave it out")
            if head not in self.heads:
                raise UsageError(
                    f"--head {head}: workload '{self.name}' was published with a sigmoid, which is the head "
                    f"{' or '.join(self.heads)}; leave it out"
                )
            changed = dataclasses.replace(changed, head=head)
        if gate is not None:
            if not any(isinstance(layer, GRU) for layer in self.layers):
                raise UsageError(
                    f"--gate {gate}: workload '{self.name}' has no GRU to choose the gates of; leave it out"
                )
            changed = changed._with_gru(gate=gate)
        if precision is not None:
            if precision == "bf16" and any(isinstance(layer, LSTM) for layer in self.layers):
                raise UsageError(
                    f"--precision bf16: workload '{self.name}' has an LSTM, which torch.autocast computes in float16 "
                    "on a GPU; leave it out"
                )
            changed = dataclasses.replace(changed, precision=precision)
        try:
            if timesteps is not None:
                changed = changed._with_time_steps(timesteps)
            if batch is not None:
                changed = changed._with_batches(batch)
            if devices is not None:
                changed = dataclasses.replace(changed, devices=devices)
        except ValueError as error:  # what a spec says of values that do not fit together
            asked = {"timesteps": timesteps, "batch": batch, "devices": devices}
            named = ".".join([self.name, *(f"{what}-{value}" for what, value in asked.items() if value is not None)])
            raise UsageError(f"--workload {named}: {error}") from error
        return changed

    def _with_gru(self, **settings: Any) -> "Workload":
        return dataclasses.replace(
            self,
            layers=tuple(
                dataclasses.replace(layer, **settings) if isinstance(layer, GRU) else layer for layer in self.layers
            ),
        )

    def _with_time_steps(self, steps: int) -> "Workload":
        """Without the published figures: they are of another length."""
        if steps == self.data.time_steps:
            return self
        if isinstance(self.data, Reviews):
            data: Reviews | Series = dataclasses.replace(self.data, time_steps=steps)
        else:
            data = dataclasses.replace(self.data, lookback=steps * self.data.step)
        return dataclasses.replace(self, data=data, published=None)

    def _with_batches(self, size: int) -> "Workload":
        """An epoch of reviews stays one pass; one of a series keeps its number of steps."""
        if size == self.batch_size:
            return self
        steps = self.steps_per_epoch
        if isinstance(self.data, Reviews):
            steps = -(-self.data.train_samples // size)
        return dataclasses.replace(self, batch_size=size, steps_per_epoch=steps, published=None)


def _counts(entry: "dataclasses.Field[Any]", value: Any) -> bool:
    """Whether a field is part of the digest."""
    counts = entry.metadata.get("digest", True)
    if counts == "changed":  # what was measured before there was such a choice stays comparable
        return bool(value != entry.default)
    return bool(counts)


def _comparable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            entry.name: _comparable(getattr(value, entry.name))
            for entry in dataclasses.fields(value)
            if _counts(entry, getattr(value, entry.name))
        }
        return {"type": getattr(value, "kind", type(value).__name__), **fields}
    if isinstance(value, tuple):
        return [_comparable(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 0 and 0.0 are equal, so they must not differ in text
    return value
