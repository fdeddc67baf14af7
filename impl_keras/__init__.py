"""The arms of Keras 3, one a backend. Importing this package imports no framework; `session` and `ceiling` do."""

from bench.implementation import Arm
from bench.workload import PRECISIONS

SESSION = "impl_keras.session:open_session"
CEILING = "impl_keras.ceiling:open_ceiling"
LAYERS = {
    "training loop": "Keras' fit over a vectorised in-memory data set; train_step runs fit's own compiled function",
    "recurrence": "keras.layers.GRU(reset_after=False, implementation=1); keras.layers.LSTM as it comes",
}

TENSORFLOW = Arm(
    name="keras-tensorflow",
    framework="tensorflow",
    tier="stock",
    session=SESSION,
    precisions=PRECISIONS,
    initialisers="Keras",
    ceiling=CEILING,
    distributions=("keras", "tensorflow|tensorflow-cpu"),
    environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"},
    settings=LAYERS
    | {
        "data": "arrays in host memory, gathered by tf.data, two batches prefetched; tf.data's autotuning off: fit "
        "would wait for it after some epochs, for up to as long again",
        "compiled": "tf.function; XLA as Keras' own 'auto' decides (on a GPU, not on a CPU)",
        "optimizer": "keras.optimizers.RMSprop; the embedding's gradient is made dense first",
    },
    engine="tf.distribute.MirroredStrategy, a replica on each device, all in one process, without XLA (Keras turns it "
    "off there); each replica draws the dropout masks of the whole batch and takes its part",
)
JAX = Arm(
    name="keras-jax",
    framework="jax",
    tier="stock",
    session=SESSION,
    precisions=PRECISIONS,
    initialisers="Keras",
    ceiling=CEILING,
    distributions=("keras", "jax", "jaxlib"),
    environment={
        "KERAS_BACKEND": "jax",
        "NPROC": "{threads}",  # what XLA's CPU client sizes its thread pools by
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": "{cache}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    },
    settings=LAYERS
    | {
        "data": "arrays on the device, one jitted gather a batch behind a keras.utils.PyDataset",
        "compiled": "jax.jit of the whole training step, its state donated",
        "optimizer": "keras.optimizers.RMSprop",
    },
    engine="keras.distribution.DataParallel, all devices in one process and one program",
)
ARMS = (
    TENSORFLOW,
    JAX,
    Arm(
        name="keras-torch",
        framework="torch",
        tier="stock",
        session=SESSION,
        precisions=PRECISIONS,
        initialisers="Keras",
        ceiling=CEILING,
        distributions=("keras", "torch"),
        environment={"KERAS_BACKEND": "torch"},
        settings=LAYERS
        | {
            "data": "arrays on the device, one gather a batch behind a keras.utils.PyDataset",
            "compiled": "no: eager is what Keras does by default on this backend",
            "optimizer": "keras.optimizers.RMSprop over torch's foreach kernels",
        },
        single="Keras has no distribution for its PyTorch backend: fit trains on one device, and "
        "DistributedDataParallel needs a training loop of one's own, which is what torch-eager is",
    ),
    Arm(
        name="keras-published",
        framework="tensorflow",
        tier="published",
        session="impl_keras.published:open_session",
        ceiling=CEILING,
        distributions=TENSORFLOW.distributions,
        environment=TENSORFLOW.environment,
        settings=TENSORFLOW.settings
        | {
            "training loop": "Keras' fit; train_step is one round of its loop, with the making of the batch",
            "data": "as the published program has it: a Python generator that picks each window of a series by itself, "
            "in float64, prefetched by fit; reviews as NumPy arrays in memory; tf.data's autotuning off",
        },
    ),
    Arm(
        name="keras-tuned",
        framework="tensorflow",
        tier="tuned",
        session="impl_keras.tuned:open_session",
        ceiling=CEILING,
        distributions=TENSORFLOW.distributions,
        devices=("cpu",),
        environment=TENSORFLOW.environment,
        settings=TENSORFLOW.settings
        | {
            "training loop": "a tf.function that loops over many of Keras' training steps; data gathered in it",
            "layers": "the embedding and its convolution as a table of the tokens in the batch, its sums by XLA",
            "recurrence": "the recurrence of keras.layers.GRU as a loop forward and one back by XLA, its gradient by "
            "hand: what need not wait for the step before is done for all time steps at once",
        },
    ),
    Arm(
        name="keras-tuned",
        framework="jax",
        tier="tuned",
        session="impl_keras.tuned:open_session",
        ceiling=CEILING,
        distributions=JAX.distributions,
        devices=("gpu",),
        environment=JAX.environment,
        settings=JAX.settings
        | {
            "training loop": "a jitted loop over many of Keras' training steps; data gathered in it",
            "layers": "the embedding and its convolution as a table of all tokens",
            "recurrence": "the recurrence of keras.layers.GRU as a scan over time, ten steps a turn",
        },
    ),
)
