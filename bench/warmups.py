"""The end of the warm-up in the rounds of many cells at once: what `stats.warmup_end`, which defines it, finds in each.

Both agree to the last bit: the logs are those of `math`, and everything is added in the same order. One by one, the ten
thousand sequences of a large run would take as long as everything else that is done to read it.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.stats import CHANGE, FEW, FEWEST, QUIET, TWICE

Floats: TypeAlias = npt.NDArray[np.float64]
"""Log times: a row per round, a column per sequence."""
Places: TypeAlias = npt.NDArray[np.intp]


def warmup_ends(many: Sequence[Sequence[float]]) -> list[int]:
    """`stats.warmup_end` of each sequence of rounds (s)."""
    ends = [0] * len(many)
    by_length: dict[int, list[int]] = {}
    for place, rounds_s in enumerate(many):
        by_length.setdefault(len(rounds_s), []).append(place)
    for count, places in by_length.items():
        if count > FEWEST:
            rounds = np.array([many[place] for place in places], dtype="float64").T
            timed = ((rounds > 0) & (rounds < math.inf)).all(axis=0)
            logs = np.array(list(map(math.log, rounds[:, timed].ravel().tolist()))).reshape(count, -1)
            for place, end in zip(np.array(places)[timed].tolist(), _ends(logs).tolist(), strict=True):
                ends[place] = end
    return ends


def _ends(logs: Floats) -> Places:
    """The last change-point of each sequence in its first half; 0 where there is none."""
    count, sequences = logs.shape
    last, least = min(count // 2, count - FEWEST), TWICE if count < FEW else 0.0
    after = _deviations(logs[::-1])[::-1]  # of the rounds from each one on
    ends = np.zeros(sequences, dtype=np.intp)
    begun = [(0, np.arange(sequences))]  # the change-point found last, and the sequences in which it was
    while begun:
        begin, columns = begun.pop()
        if begin >= last:
            continue
        before = _deviations(logs[begin:last, columns])
        saves = after[begin, columns] - before[1:] - after[begin + 1 : last + 1, columns]
        splits = last - np.argmax(saves[::-1], axis=0)  # the last one of equals
        for split in np.unique(splits).tolist():
            mine = splits == split
            scatter = _scatter(logs[split:, columns[mine]])
            cut = columns[mine][saves[split - begin - 1, mine] > np.maximum(CHANGE * scatter, least)]
            ends[cut] = split
            begun.append((split, cut))
    return ends


def _deviations(values: Floats) -> Floats:
    """Of the first 0, 1, 2, ... values of each sequence: the sum of their distances from their median."""
    ordered = [values[0]]
    sums = [np.zeros_like(values[0])] * 2
    for count, value in enumerate(values[1:], 1):
        low, high = ordered[(count - 1) // 2], ordered[count // 2]
        sums.append(sums[-1] + np.maximum(np.maximum(low - value, value - high), 0.0))
        moved = value
        for rank, other in enumerate(ordered):  # inserted, in all sequences at once
            ordered[rank], moved = np.minimum(other, moved), np.maximum(other, moved)
        ordered.append(moved)
    return np.array(sums)


def _scatter(logs: Floats) -> Floats:
    return np.maximum(_median(np.abs(logs - _median(logs))), QUIET)


def _median(values: Floats) -> Floats:
    """As `stats.median` has it, of each sequence."""
    ordered, rank = np.sort(values, axis=0), (len(values) - 1) / 2
    below = math.floor(rank)
    low: Floats = ordered[below]
    high: Floats = ordered[min(below + 1, len(values) - 1)]
    return low + (high - low) * (rank - below)
