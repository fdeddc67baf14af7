"""The Keras arm on TensorFlow with the embedding's gradient as Keras leaves it there: squared per occurrence."""

from bench.implementation import Arm

ARMS = (
    Arm(
        name="faulty-per-occurrence-gradient",
        framework="tensorflow",
        tier="stock",
        session="impl_faulty_keras.session:open_session",
        distributions=("keras", "tensorflow|tensorflow-cpu"),
        environment={"KERAS_BACKEND": "tensorflow"},
    ),
)
