"""Workloads in shapes that fill no vector, no tile and no block of samples, each with the samples in its batches."""

import dataclasses

from bench import catalogue
from bench.layers import GRU, Conv1D, Dense, Embedding, GlobalMaxPool1D, MaxPool1D
from bench.workload import Workload


def series(name: str, steps: int, *layers: object) -> Workload:
    """`conv_gru` with other layers, over so many time steps."""
    spec = catalogue.load("conv_gru")
    data = dataclasses.replace(spec.data, lookback=steps * spec.data.step)
    return dataclasses.replace(spec, name=name, layers=(*layers, Dense("dense", 1)), data=data, published=None)


def reviews(name: str, steps: int, *layers: object) -> Workload:
    """`conv` with other layers and 60 words, over so many time steps."""
    spec = catalogue.load("conv")
    data = dataclasses.replace(spec.data, time_steps=steps, vocabulary=60)
    return dataclasses.replace(spec, name=name, layers=(*layers, Dense("dense", 1)), data=data, published=None)


def gru(units: int, gate: str = "sigmoid") -> GRU:
    return GRU("gru", units, dropout=0.1, recurrent_dropout=0.5, gate=gate)


SHAPES = {
    # samples in a batch, workload
    "one sample, one time step, one unit": (1, series("a", 1, gru(1))),
    "31 units": (9, series("b", 5, gru(31))),
    "33 units, hard gates": (7, series("c", 6, gru(33, "hard_sigmoid"))),
    "33 filters, tail of a pool dropped": (3, series("d", 17, Conv1D("c1", 33, 3), MaxPool1D("p1", 4), gru(5))),
    "31 filters of width 1, one output": (
        9,
        series("e", 7, Conv1D("c1", 31, 1), MaxPool1D("p1", 7), Conv1D("c2", 3, 1), GlobalMaxPool1D("p2")),
    ),
    "a convolution as long as its input": (5, series("f", 5, Conv1D("c1", 2, 5), GlobalMaxPool1D("p1"))),
    "tokens, 33 filters": (
        9,
        reviews("g", 23, Embedding("e", 60, 7), Conv1D("c1", 33, 4), MaxPool1D("p1", 3), Conv1D("c2", 5, 2), gru(3)),
    ),
    "tokens, two samples, no pool": (2, reviews("h", 6, Embedding("e", 60, 2), Conv1D("c1", 1, 1), gru(2))),
    "more than one tile of samples, steps and filters": (
        65,
        series(
            "j",
            60,
            Conv1D("c1", 33, 3),
            Conv1D("c2", 33, 3),
            MaxPool1D("p1", 2),
            Conv1D("c3", 5, 2),
            GlobalMaxPool1D("p2"),
        ),
    ),
    "tokens, more than one tile": (
        3,
        reviews("k", 80, Embedding("e", 60, 5), Conv1D("c1", 4, 3), MaxPool1D("p1", 2), gru(2)),
    ),
    "tokens, the maximum of all": (
        17,
        reviews("i", 9, Embedding("e", 60, 33), Conv1D("c1", 31, 9), GlobalMaxPool1D("p")),
    ),
}
