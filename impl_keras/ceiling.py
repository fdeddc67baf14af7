"""What Keras reaches on its backend: products and passes over memory, on tensors that stay on the device."""

from collections.abc import Callable

import numpy as np
from keras import ops

from bench.implementation import Ceilings, Device
from impl_keras.backend import backend


def open_ceiling(device: Device, threads: int) -> Ceilings:
    """Threads and precision as `session` sets them; a RuntimeError says so when the device asked for is not there."""
    backend.configure(device, threads, "float32")
    multiplied, doubled = backend.waited(ops.matmul), backend.waited(lambda array: array * 2)

    def product(size: int) -> Callable[[], object]:
        values = np.random.default_rng(size).standard_normal((2, size, size), np.float32)
        # The copy is computed, so it lies where products are computed: no call brings its operands along.
        a, b = (ops.copy(ops.convert_to_tensor(half)) for half in values)
        return lambda: multiplied(a, b)

    def stream(moved_bytes: int) -> Callable[[], object]:
        array = ops.ones((moved_bytes // 8,), "float32")
        return lambda: doubled(array)

    return Ceilings(product, stream)
