"""From rows of weather readings to the standardised windows a workload trains on."""

import bisect

import numpy as np
from numpy.typing import NDArray

from bench.data.windows import Dataset, Source, Split
from bench.workload import Series, Workload


def spec_of(workload: Workload) -> Series:
    """The workload's data spec; a TypeError where it does not train on a series."""
    if not isinstance(workload.data, Series):
        raise TypeError(f"workload {workload.name!r} does not train on a series")
    return workload.data


def boundaries(spec: Series, rows: int) -> tuple[int, int]:
    """The rows where training and validation end: the spec's, scaled to `rows` and rounded to the nearest row."""
    return round(spec.train_rows * rows / spec.rows), round(spec.validation_rows * rows / spec.rows)


def ranges(spec: Series, rows: int) -> dict[Split, tuple[int, int]]:
    """First window end and the one past the last of every split of a series of `rows` rows."""
    train, validation = boundaries(spec, rows)
    return {
        "train": (spec.lookback, train),
        "validation": (train + 1 + spec.lookback, validation),
        "test": (validation + 1 + spec.lookback, rows - spec.delay - 1),
    }


def fewest_rows(workload: Workload) -> int:
    """The shortest series that has a whole batch of windows in every split."""
    spec = spec_of(workload)

    def enough(rows: int) -> bool:
        return all(end - first >= workload.batch_size for first, end in ranges(spec, rows).values())

    return bisect.bisect_left(range(10 * spec.rows), True, key=enough)


def dataset(workload: Workload, rows: NDArray[np.float64], source: Source) -> Dataset:
    """The workload's Dataset from (rows, features) readings, which are standardised in place.

    Mean and population standard deviation come from the training rows, in float64; then float32. A feature that
    stands still in the training rows is a ValueError: it cannot be standardised.
    """
    spec = spec_of(workload)
    train, _ = boundaries(spec, len(rows))
    rows -= rows[:train].mean(axis=0)
    deviation = rows[:train].std(axis=0)
    if not deviation.all():
        raise ValueError(
            f"feature {int(np.flatnonzero(deviation == 0)[0])} has one value in all {train:,} training rows"
        )
    rows /= deviation
    inputs = np.ascontiguousarray(rows, dtype=np.float32)
    return Dataset(
        source=source,
        inputs=inputs,
        targets=inputs[spec.delay :, spec.target].copy(),
        offsets=np.arange(-spec.lookback, 0, spec.step, dtype=np.int32),
        ranges=ranges(spec, len(rows)),
        batch_size=workload.batch_size,
        steps_per_epoch=workload.steps_per_epoch,
    )
