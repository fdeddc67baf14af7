"""Sentiment of IMDB reviews by an LSTM over word embeddings: the book's chapter 6.2."""

from bench.layers import LSTM, Dense, Embedding
from bench.workload import Quality, Reviews, RMSprop, Workload

WORKLOAD = Workload(
    name="lstm",
    title="IMDB reviews, LSTM",
    layers=(
        Embedding("embedding", vocabulary=10_000, units=32),
        LSTM("lstm", units=32),
        Dense("dense", units=1),
    ),
    data=Reviews(),
    loss="binary_crossentropy",
    head="logits",
    optimizer=RMSprop(learning_rate=1e-3),
    batch_size=128,
    epochs=10,
    steps_per_epoch=157,
    quality=Quality("accuracy", target=0.82, margin=0.01),
    comparator=True,
)
