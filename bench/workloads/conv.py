"""Sentiment of IMDB reviews by two convolutions over word embeddings."""

from bench.layers import Conv1D, Dense, Embedding, GlobalMaxPool1D, MaxPool1D
from bench.workload import Published, Quality, Reviews, RMSprop, Workload

WORKLOAD = Workload(
    name="conv",
    title="IMDB reviews, convolutions",
    layers=(
        Embedding("embedding", vocabulary=10_000, units=128),
        Conv1D("conv1", filters=32, width=7),
        MaxPool1D("pool1", size=5),
        Conv1D("conv2", filters=32, width=7),
        GlobalMaxPool1D("pool2"),
        Dense("dense", units=1),
    ),
    data=Reviews(),
    loss="binary_crossentropy",
    head="logits",
    optimizer=RMSprop(learning_rate=1e-4),
    batch_size=128,
    epochs=10,
    steps_per_epoch=157,
    quality=Quality("accuracy", target=0.82, margin=0.01),
    published=Published(
        curve="conv.csv",
        source="Deep Learning with Python (2017), chapter 6.4 notebook, Keras 2.0.8 on TensorFlow, GPU not stated",
        shapes=((500, 128), (494, 32), (98, 32), (92, 32), (32,), (1,)),
        layer_parameters=(1_280_000, 28_704, 0, 7_200, 0, 33),
        parameters=1_315_937,
    ),
)
