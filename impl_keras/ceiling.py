"""How fast Keras multiplies matrices on its backend: keras.ops.matmul on tensors that stay on the device."""

from collections.abc import Callable

import numpy as np
from keras import ops

from bench.implementation import Ceiling, Device
from impl_keras.backend import backend


def open_ceiling(device: Device, threads: int) -> Ceiling:
    """Threads and precision as `session` sets them; a RuntimeError says so when the device asked for is not there."""
    backend.configure(device, threads, "float32")

    def ceiling(size: int) -> Callable[[], object]:
        values = np.random.default_rng(size).standard_normal((2, size, size), np.float32)
        # The copy is computed, so it lies where products are computed: no call brings its operands along.
        a, b = (ops.copy(ops.convert_to_tensor(half)) for half in values)
        return lambda: backend.matmul(a, b)

    return ceiling
