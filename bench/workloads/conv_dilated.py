"""Jena's temperature 24 hours ahead from 240 half-hourly points, by dilated causal convolutions.

What the notebook's last sentence leaves out, with the data of `conv_gru` and about as many parameters (13,711 against
13,697). Each of the eight layers doubles how far back the last time step sees: 1 + 1 + 2 + 4 + … + 128 = 256 points,
which is all 240.
"""

from bench.layers import CausalConv1D, Dense, LastStep
from bench.workload import Quality, RMSprop, Series, Workload

WORKLOAD = Workload(
    name="conv_dilated",
    title="Jena temperature, dilated causal convolutions",
    layers=(
        *(CausalConv1D(f"conv{n + 1}", filters=30, width=2, dilation=2**n) for n in range(8)),
        LastStep("last"),
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
    comparator=True,
)
