"""Jena's temperature 24 hours ahead from 240 hourly points, by convolutions alone."""

from bench.layers import Conv1D, Dense, GlobalMaxPool1D, MaxPool1D
from bench.workload import Published, Quality, RMSprop, Series, Workload

WORKLOAD = Workload(
    name="conv_only",
    title="Jena temperature, convolutions alone",
    layers=(
        Conv1D("conv1", filters=32, width=5),
        MaxPool1D("pool1", size=3),
        Conv1D("conv2", filters=32, width=5),
        MaxPool1D("pool2", size=3),
        Conv1D("conv3", filters=32, width=5),
        GlobalMaxPool1D("pool3"),
        Dense("dense", units=1),
    ),
    data=Series(lookback=1440, step=6),
    loss="mean_absolute_error",
    head=None,
    optimizer=RMSprop(learning_rate=1e-3),
    batch_size=128,
    epochs=20,
    steps_per_epoch=500,
    quality=Quality("loss", target="naive", margin=0.01),
    published=Published(
        curve="conv_only.csv",
        source="Deep Learning with Python (2017), chapter 6.4 notebook, Keras 2.0.8 on TensorFlow, GPU not stated",
        shapes=((236, 32), (78, 32), (74, 32), (24, 32), (20, 32), (32,), (1,)),
        layer_parameters=(2_272, 0, 5_152, 0, 5_152, 0, 33),
        parameters=12_609,
    ),
)
