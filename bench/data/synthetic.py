"""Reviews the suite makes itself where there are no real ones: deterministic from a seed, and with a real structure.

Words follow Zipf's law and say next to nothing alone. A review's sentiment lies in pairs of neighbours: a modifier
before an opinion word. An intensifier keeps the opinion, a negation turns it over ("very good", "not bad" against
"not good", "very bad"), and both are as common in praise as in blame. Whoever counts words stays near chance; whoever
sees two neighbours does not.
"""

import numpy as np
from numpy.typing import NDArray

from bench.data.reviews import Texts
from bench.workload import Reviews

VERSION = 1
"""Raised when a seed gives other data than before."""

_VOCABULARY = 30_000
_MODIFIERS = np.array([31, 52, 39, 61])  # ranks; the first half intensifies, the second negates
_OPINIONS = np.array([58, 101, 147, 203, 66, 89, 152, 195])  # the first half is praise, the second blame
_SLOT = 4  # words; a mention takes the last two of a slot
_MENTIONED = 0.3  # share of the slots that hold a mention
_AGREEING = 0.75  # share of the mentions that say what the review says
_TELLING = 0.52  # how often an opinion word alone says it: 0.5 would leave nothing to start learning from


def reviews(spec: Reviews, seed: int) -> tuple[Texts, Texts]:
    """Training and test reviews, `spec.samples` of each, half of them positive, with IMDB's lengths."""
    random = np.random.RandomState([seed, VERSION, 1])
    return _texts(spec.samples, random), _texts(spec.samples, random)


def _texts(samples: int, random: np.random.RandomState) -> Texts:
    labels = random.permutation(np.arange(samples) % 2)
    # Median 177, mean 218 words, 5 % below 66 and 5 % above 512: close to IMDB's.
    lengths = np.clip(np.exp(random.normal(5.18, 0.645, samples)), 10, 2_500).astype(np.int64)
    words = _zipf(int(lengths.sum()), random)
    _mention(words, lengths, labels, random)
    return Texts(words=words, lengths=lengths, labels=labels)


def _zipf(count: int, random: np.random.RandomState) -> NDArray[np.int32]:
    weights = 1.0 / (np.arange(1, _VOCABULARY + 1) + 1.7)
    quantiles = 1 << 20  # a table of equal shares is far quicker than a search for every word
    shares = np.cumsum(weights) / weights.sum()
    table = (np.searchsorted(shares, (np.arange(quantiles) + 0.5) / quantiles) + 1).astype(np.int32)
    return table.take(random.randint(0, quantiles, size=count, dtype=np.int32))


def _mention(
    words: NDArray[np.int32], lengths: NDArray[np.int64], labels: NDArray[np.int64], random: np.random.RandomState
) -> None:
    """Writes the mentions over the words, in place."""
    slots = lengths // _SLOT
    review = np.repeat(np.arange(len(lengths)), slots)
    slot = np.arange(len(review)) - np.repeat(np.cumsum(slots) - slots, slots)
    begin = (np.cumsum(lengths) - lengths)[review] + slot * _SLOT
    chosen = random.random_sample(len(begin)) < _MENTIONED
    review, begin = review[chosen], begin[chosen]
    count = len(begin)

    sentiment = 2 * labels[review] - 1
    said = np.where(random.random_sample(count) < _AGREEING, sentiment, -sentiment)
    opinion = np.where(random.random_sample(count) < _TELLING, sentiment, -sentiment)
    words[begin + _SLOT - 2] = _pick(_MODIFIERS, said * opinion, random)
    words[begin + _SLOT - 1] = _pick(_OPINIONS, opinion, random)


def _pick(words: NDArray[np.int64], sign: NDArray[np.int64], random: np.random.RandomState) -> NDArray[np.int64]:
    """A random word of the half that has each wanted sign."""
    half = len(words) // 2
    return words[random.randint(0, half, size=len(sign)) + np.where(sign > 0, 0, half)]
