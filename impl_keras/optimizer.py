"""Keras' RMSprop, the suite's own: v = rho v + (1 - rho) g²;  w = w - learning_rate g / sqrt(v + epsilon)."""

import keras

import bench.workload
from impl_keras.backend import backend


def make_optimizer(spec: bench.workload.RMSprop, *, dense_embedding_gradient: bool = True) -> keras.Optimizer:
    """The optimiser of that spec.

    On TensorFlow Keras leaves an embedding's gradient as one slice for every *occurrence* of a word and squares each by
    itself; every other backend, and the suite, squares their sum. `dense_embedding_gradient=False` leaves it so: for
    the test that shows the difference.
    """
    rmsprop = backend.RMSprop if dense_embedding_gradient else keras.optimizers.RMSprop
    return rmsprop(learning_rate=spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon)


def reset(optimizer: keras.Optimizer) -> None:
    """Puts its state and its step count back to zero."""
    for variable in optimizer.variables:
        if variable.name != "learning_rate":
            variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
