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


def test_a_tuned_arm_stands_behind_all_others_however_fast_it_is() -> None:
    figures = {"b": {1: 2.0}, "tuned": {1: 0.1}, "a": {1: 1.0}, "slow and tuned": {1: 9.0}}
    assert ranked(figures, {"tuned", "slow and tuned"}) == ["a", "b", "tuned", "slow and tuned"]
    assert ranked({"tuned": {1: 0.1}, "slow and tuned": {1: 9.0}}, set(figures)) == ["tuned", "slow and tuned"]


def test_a_tuned_arm_is_told_beside_the_others_and_never_called_the_fastest() -> None:
    def rank(name: str, ratio: float, verdict: effects.Verdict, *, tuned: bool = False) -> Rank:
        return Rank(name, effects.Effect(ratio, ratio * 0.99, ratio * 1.01, 6, 0.01), verdict, tuned)

    tuned = [rank("t", 0.2, "FASTER", tuned=True), rank("u", 1.5, "SLOWER", tuned=True)]
    beside = "Tuned, beside a: t 0.200 times as long [0.198, 0.202] and u 1.500 [1.485, 1.515]."
    first = Rank("a", None, None)
    assert sentences([first, *tuned]) == [beside]
    assert sentences([first, rank("b", 2.0, "SLOWER"), *tuned]) == [
        "a is fastest.",
        "b takes 2.000 times as long [1.980, 2.020].",
        beside,
    ]
    # Without a common block there is nothing to tell it beside.
    apart = Rank("t", None, None, tuned=True)
    assert sentences([first, apart]) == ["Tuned arms have no block in common with a."]
    # Nobody else is there: then it is about the tuned ones, and says so.
    alone = [apart, rank("u", 1.5, "SLOWER", tuned=True)]
    told = ["Among tuned arms alone: t is fastest.", "u takes 1.500 times as long [1.485, 1.515]."]
    assert sentences(alone) == told
