"""Keras' RMSprop, the suite's own: v = rho v + (1 - rho) g²;  w = w - learning_rate g / sqrt(v + epsilon)."""

from typing import Any

import keras
from keras import ops

import bench.workload
from impl_keras.backend import backend


def make_optimizer(spec: bench.workload.RMSprop, *, dense_embedding_gradient: bool = True) -> keras.Optimizer:
    """The optimiser of that spec.

    On TensorFlow Keras leaves an embedding's gradient as one slice for every *occurrence* of a word and squares each by
    itself; every other backend, and the suite, squares their sum. `dense_embedding_gradient=False` leaves it so: for
    the test that shows the difference.
    """
    if not spec.epsilon_inside:
        return BookRMSprop(learning_rate=spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon)
    rmsprop = backend.RMSprop if dense_embedding_gradient else keras.optimizers.RMSprop
    return rmsprop(learning_rate=spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon)


class BookRMSprop(backend.RMSprop):  # type: ignore[misc, name-defined]
    """The book's: w = w - learning_rate g / (sqrt(v) + epsilon), variable by variable."""

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        velocity = self._velocities[self._get_variable_index(variable)]
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        self.assign(velocity, self.rho * velocity + (1 - self.rho) * ops.square(gradient))
        self.assign_sub(variable, rate * gradient / (ops.sqrt(velocity) + self.epsilon))


def reset(optimizer: keras.Optimizer) -> None:
    """Puts its state and its step count back to zero."""
    for variable in optimizer.variables:
        if variable.name != "learning_rate":
            variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
