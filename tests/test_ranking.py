"""Who is called the fastest is surely beaten by nobody, also where arms have not run in the same blocks."""

import pytest

from bench import effects
from bench.ranking import Rank, ranked, sentences


def test_with_the_same_blocks_the_order_is_that_of_the_ratios_to_the_smallest_median() -> None:
    figures = {"c": {1: 3.0, 2: 3.1}, "a": {1: 1.0, 2: 1.01}, "b": {1: 2.0, 2: 2.1}, "none": {}}
    assert ranked(figures) == ["a", "b", "c"]
    assert ranked({}) == []


def test_an_arm_that_missed_the_slow_blocks_is_not_ahead_for_that() -> None:
    drift = {block: 1.0 + 0.1 * block for block in range(1, 7)}
    lucky = {block: 1.1 * drift[block] for block in (1, 2, 3)}  # slower in every block it ran in
    assert effects.effect(lucky, drift).ratio == pytest.approx(1.1)
    assert ranked({"whole": drift, "lucky": lucky}) == ["whole", "lucky"]
    unlucky = {block: 0.9 * drift[block] for block in (4, 5, 6)}  # faster in every block, the worse median
    assert ranked({"whole": drift, "unlucky": unlucky}) == ["unlucky", "whole"]


def test_without_a_common_block_the_medians_decide() -> None:
    assert ranked({"b": {1: 2.0}, "a": {2: 1.0}, "c": {3: 3.0}}) == ["a", "b", "c"]


def test_who_is_slowest_is_told_against_somebody_who_is_named() -> None:
    def rank(name: str, ratio: float, verdict: effects.Verdict) -> Rank:
        return Rank(name, effects.Effect(ratio, ratio * 0.99, ratio * 1.01, 6, 0.01), verdict)

    ranks = [Rank("a", None, None), rank("b", 1.0, "UNRESOLVED"), rank("c", 2.0, "SLOWER")]
    assert sentences(ranks) == [
        "a or b is fastest: UNRESOLVED.",
        "c takes 2.000 times as long as a [1.980, 2.020].",
    ]


def test_after_one_block_the_times_are_told_and_a_contestant_without_a_common_block_has_none() -> None:
    once = effects.effect({1: 2.0}, {1: 1.0})
    ranks = [Rank("a", None, None), Rank("b", once, "UNRESOLVED"), Rank("c", None, None)]
    assert sentences(ranks) == [
        "a is ahead of b (2.00 times as long) and c (no block in common): UNRESOLVED, one block gives no interval."
    ]
