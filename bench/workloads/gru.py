"""Jena's temperature 24 hours ahead from 240 hourly points, by a GRU with dropout: the book's chapter 6.3."""

from bench.layers import GRU, Dense
from bench.workload import Quality, RMSprop, Series, Workload

WORKLOAD = Workload(
    name="gru",
    title="Jena temperature, GRU alone",
    layers=(
        GRU("gru", units=32, dropout=0.2, recurrent_dropout=0.2),
        Dense("dense", units=1),
    ),
    data=Series(lookback=1440, step=6),
    loss="mean_absolute_error",
    head=None,
    optimizer=RMSprop(learning_rate=1e-3),
    batch_size=128,
    epochs=40,
    steps_per_epoch=500,
    quality=Quality("loss", target="naive", margin=0.01),
    comparator=True,
)
