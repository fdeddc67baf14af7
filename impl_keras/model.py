"""A workload as a Keras model: its own layers in order, with Keras' own initialisers.

Shapes on the lines: B samples, T time steps, C channels, U units. Keras' weight layouts are the canonical ones.
"""

import keras
from keras import ops

from bench import layers
from bench.layers import Layer
from bench.workload import Workload

CANONICAL = {"embeddings": "table"}
"""Keras' name of a weight to the suite's, where they differ."""


def hard_sigmoid(x):  # type: ignore[no-untyped-def]
    """The gate of Keras 2: clip(0.2 x + 0.5, 0, 1). `keras.activations.hard_sigmoid` has slope 1/6 instead."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


GATES = {"sigmoid": "sigmoid", "hard_sigmoid": hard_sigmoid}


def build(workload: Workload, seed: int) -> keras.Sequential:
    """The model, not compiled; (B, *input_shape) → (B, 1). `seed` is that of its dropout masks."""
    is_tokens = isinstance(workload.layers[0], layers.Embedding)
    inputs = keras.Input(workload.input_shape, dtype="int32" if is_tokens else keras.config.floatx())
    return keras.Sequential([inputs, *(_layer(spec, seed) for spec in workload.layers)], name=workload.name)


class LastStep(keras.layers.Layer):
    """(B, T, C) → (B, C)."""

    def call(self, x):  # type: ignore[no-untyped-def]
        return x[:, -1]


def _layer(spec: Layer, seed: int) -> keras.Layer:
    match spec:
        case layers.Embedding():  # (B, T) → (B, T, units)
            return keras.layers.Embedding(spec.vocabulary, spec.units, name=spec.name)
        case layers.Conv1D():  # (B, T, C) → (B, T - width + 1, filters)
            return keras.layers.Conv1D(spec.filters, spec.width, activation="relu", name=spec.name)
        case layers.CausalConv1D():  # (B, T, C) → (B, T, filters)
            return keras.layers.Conv1D(
                spec.filters,
                spec.width,
                padding="causal",
                dilation_rate=spec.dilation,
                activation="relu",
                name=spec.name,
            )
        case layers.MaxPool1D():  # (B, T, C) → (B, T // size, C)
            return keras.layers.MaxPooling1D(spec.size, name=spec.name)
        case layers.GlobalMaxPool1D():  # (B, T, C) → (B, C)
            return keras.layers.GlobalMaxPooling1D(name=spec.name)
        case layers.LastStep():  # (B, T, C) → (B, C)
            return LastStep(name=spec.name)
        case layers.LSTM():  # (B, T, C) → (B, U)
            # Logistic gates, forget bias 1: Keras' defaults. JAX hands cuDNN float64, for the parity gate, as float32;
            # and XLA cannot share a call of cuDNN out among devices.
            on_jax = keras.backend.backend() == "jax"
            without = on_jax and (keras.config.floatx() == "float64" or keras.distribution.distribution() is not None)
            return keras.layers.LSTM(spec.units, use_cudnn=False if without else "auto", name=spec.name)
        case layers.GRU():  # (B, T, C) → (B, U)
            return keras.layers.GRU(
                spec.units,
                reset_after=False,  # the reset gate before the recurrent product; Keras 3 has the other form by default
                implementation=1,  # one dropout mask a gate instead of one for all
                recurrent_activation=GATES[spec.gate],
                dropout=spec.dropout,
                recurrent_dropout=spec.recurrent_dropout,
                seed=seed,
                name=spec.name,
            )
        case layers.Dense():  # (B, C) → (B, units)
            return keras.layers.Dense(spec.units, name=spec.name)


def weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Every weight by canonical name, in the order of `model.trainable_variables`."""
    return {
        f"{layer.name}.{CANONICAL.get(variable.name, variable.name)}": variable
        for layer in model.layers
        for variable in layer.trainable_variables
    }


def summary(model: keras.Model) -> list[tuple[str, tuple[int, ...], int]]:
    """Layer name, output shape without the batch, parameter count."""
    return [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
