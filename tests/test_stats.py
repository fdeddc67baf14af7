import random

import numpy as np
import pytest

from bench import stats


def test_percentiles_are_those_of_numpys_linear_method() -> None:
    draw = random.Random(1)
    for size in (1, 2, 3, 10, 101):
        values = [draw.lognormvariate(0, 1) for _ in range(size)]
        for percent in (0, 1, 50, 90, 99, 100):
            # Both interpolate between the same two numbers; only the last bit of the product may differ.
            assert stats.percentile(values, percent) == pytest.approx(np.percentile(values, percent), rel=1e-14)


def test_a_percentile_leaves_its_values_in_order() -> None:
    values = [3.0, 1.0, 2.0]
    assert stats.median(values) == 2.0
    assert values == [3.0, 1.0, 2.0]


def test_no_values_and_impossible_percentages_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 50)
    for percent in (-1, 100.5, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to 100"):
            stats.percentile([1.0], percent)


def test_a_block_with_many_rounds_weighs_no_more_than_one_with_few() -> None:
    blocks = {1: [1.0] * 100, 2: [2.0], 3: [3.0, 5.0, 4.0]}
    assert stats.over_blocks(blocks) == stats.Spread(median=2.0, low=1.0, high=4.0, blocks=3)


def test_blocks_without_rounds_do_not_count_and_no_blocks_have_no_spread() -> None:
    assert stats.over_blocks({1: [], 2: [7.0]}) == stats.Spread(7.0, 7.0, 7.0, 1)
    assert stats.over_blocks({1: []}) is None
    assert stats.spread([]) is None
