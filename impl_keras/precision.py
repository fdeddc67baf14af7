"""How precisely Keras computes; in float64 its `result_type` has to be corrected on JAX and PyTorch."""

import keras
from keras.src.backend.common import dtypes

from bench.workload import Precision

KERAS_OWN = dict(dtypes.BIT64_TO_BIT32_DTYPE)


def use_precision(precision: Precision) -> None:
    """Makes `precision` that of the sessions opened from now on. TF32 is the backend's, and no type of Keras'.

    Keras 3.15 maps the result type float64 to float32 on every backend but TensorFlow, to agree with JAX's default of
    32 bits, and does so under floatx "float64" as well: matmul, tanh, mean and more then compute in float32, and no
    comparison tighter than 1e-6 is possible. A float64 session lifts that one entry of the table. A float32 session
    runs with Keras' own table, untouched.
    """
    floatx = "float64" if precision == "float64" else "float32"
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if precision == "bf16" else floatx
    )  # which Keras derives from floatx once, for the first layer it makes
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64" if precision == "float64" else KERAS_OWN["float64"]
