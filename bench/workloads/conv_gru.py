"""Jena's temperature 24 hours ahead from 240 half-hourly points, by convolutions that feed a GRU."""

from bench.layers import GRU, Conv1D, Dense, MaxPool1D
from bench.workload import Published, Quality, RMSprop, Series, Workload

WORKLOAD = Workload(
    name="conv_gru",
    title="Jena temperature, convolutions feeding a GRU",
    layers=(
        Conv1D("conv1", filters=32, width=5),
        MaxPool1D("pool1", size=3),
        Conv1D("conv2", filters=32, width=5),
        GRU("gru", units=32, dropout=0.1, recurrent_dropout=0.5),
        Dense("dense", units=1),
    ),
    data=Series(lookback=720, step=3),
    loss="mean_absolute_error",
    head=None,
    optimizer=RMSprop(learning_rate=1e-3),
    batch_size=128,
    epochs=20,
    steps_per_epoch=500,
    quality=Quality("loss", target="naive", margin=0.01),
    published=Published(
        curve="conv_gru.csv",
        source="Deep Learning with Python (2017), chapter 6.4 notebook, Keras 2.0.8 on TensorFlow, GPU not stated",
        shapes=((236, 32), (78, 32), (74, 32), (32,), (1,)),
        layer_parameters=(2_272, 0, 5_152, 6_240, 33),
        parameters=13_697,
    ),
)
