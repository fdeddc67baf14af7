"""64-bit sessions, for the parity gate only: Keras' `result_type` has to be corrected on JAX and PyTorch."""

import keras
from keras.src.backend.common import dtypes

from bench.implementation import Precision

KERAS_OWN = dict(dtypes.BIT64_TO_BIT32_DTYPE)


def use_precision(precision: Precision) -> None:
    """Makes `precision` Keras' float type for the sessions opened from now on.

    Keras 3.15 maps the result type float64 to float32 on every backend but TensorFlow, to agree with JAX's default of
    32 bits, and does so under floatx "float64" as well: matmul, tanh, mean and more then compute in float32, and no
    comparison tighter than 1e-6 is possible. A float64 session lifts that one entry of the table. A float32 session
    runs with Keras' own table, untouched.
    """
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)  # which Keras derives from floatx once, for the first layer it makes
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64" if precision == "float64" else KERAS_OWN["float64"]
