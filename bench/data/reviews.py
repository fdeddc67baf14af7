"""From reviews as word ranks to the token ids a workload trains on: shuffle, shift, cut or pad in front."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.windows import Dataset, Source, Split
from bench.workload import Reviews, Workload


@dataclass(frozen=True)
class Texts:
    """Labelled reviews, one after another."""

    words: NDArray[np.int32]
    """(words of all reviews,) ranks, 1 the most frequent word."""
    lengths: NDArray[np.int64]
    """(reviews,) words of each."""
    labels: NDArray[np.int64]
    """(reviews,) 1 for a positive review, 0 for a negative one."""


def spec_of(workload: Workload) -> Reviews:
    """The workload's data spec; a TypeError where it does not train on reviews."""
    if not isinstance(workload.data, Reviews):
        raise TypeError(f"workload {workload.name!r} does not train on reviews")
    return workload.data


def orders(train: int, test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of the training and of the test reviews: one legacy RandomState shuffles the one, then the other."""
    random = np.random.RandomState(seed)
    shuffled = np.arange(train), np.arange(test)
    for order in shuffled:
        random.shuffle(order)
    return shuffled


def encode(texts: Texts, order: NDArray[np.int64], spec: Reviews) -> NDArray[np.int32]:
    """(reviews, time_steps) ids, reviews in `order`: start marker, shifted ranks, the last `time_steps` of them.

    A rank is shifted by `index_from`; an id of `vocabulary` or more becomes `out_of_vocabulary`. A short review is
    padded in front, a long one loses its beginning (and its start marker).
    """
    ids = texts.words + np.int32(spec.index_from)
    ids[ids >= spec.vocabulary] = spec.out_of_vocabulary
    ends = np.cumsum(texts.lengths)[order].astype(np.int32)
    lengths = texts.lengths[order].astype(np.int32)
    back = np.arange(spec.time_steps, 0, -1, dtype=np.int32)  # how far before a review's end each column stands
    encoded = ids.take(ends[:, None] - back, mode="clip")  # what lies before the first review is padding, put in next
    encoded[back > lengths[:, None]] = spec.padding
    begun = np.flatnonzero(lengths < spec.time_steps)
    encoded[begun, spec.time_steps - 1 - lengths[begun]] = spec.start
    return encoded


def dataset(workload: Workload, train: Texts, test: Texts, source: Source) -> Dataset:
    """The workload's Dataset: the training reviews, shuffled, then the test reviews, shuffled."""
    spec = spec_of(workload)
    first, second = orders(len(train.lengths), len(test.lengths), spec.shuffle_seed)
    ranges: dict[Split, tuple[int, int]] = {
        "train": (0, spec.train_samples),
        "validation": (spec.train_samples, len(first)),
        "test": (len(first), len(first) + len(second)),
    }
    return Dataset(
        source=source,
        inputs=np.concatenate([encode(train, first, spec), encode(test, second, spec)]),
        targets=np.concatenate([train.labels[first], test.labels[second]]).astype(np.float32),
        offsets=None,
        ranges=ranges,
        batch_size=workload.batch_size,
        steps_per_epoch=workload.steps_per_epoch,
    )
