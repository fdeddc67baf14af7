"""Why a step takes as long as it does: every cause from figures planted for it, and only from what was measured."""

import dataclasses
import math
import re

import pytest

from bench.cause import INPUT_BOUND, OVERHEAD_BOUND, Evidence, cause

SHARE = 0.125
GFLOPS = 1e9


def planted(fixed_s: float, for_samples_s: float, **more: float | None) -> Evidence:
    """A step of so much fixed cost and so much for its samples, as both batch sizes would show it."""
    known: dict = {
        "step_s": fixed_s + for_samples_s,
        "flops_per_step": 2 * GFLOPS,
        "ceiling_flops": 100 * GFLOPS,
        "small_step_s": fixed_s + SHARE * for_samples_s,
        "small_share": SHARE,
        "epoch_step_s": 1.1 * (fixed_s + for_samples_s),
    }
    return Evidence(**(known | more))


def near(value: float):
    """Equal but for float64 rounding of a handful of operations."""
    return pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("fixed_s", "for_samples_s"), [(0.0, 0.05), (0.01, 0.04), (0.03, 0.02), (0.05, 0.0)])
def test_the_fixed_cost_is_the_one_planted(fixed_s, for_samples_s):
    assert planted(fixed_s, for_samples_s).fixed_s == pytest.approx(fixed_s, abs=1e-15)  # rounding of 0.05


def test_a_step_that_grows_with_its_samples_is_compute_bound():
    found = cause(planted(0.005, 0.045))
    assert found.kind == "compute-bound"
    assert "5 ms (10 %) fixed cost, and the rest grows with the samples" in found.sentence
    assert "40 GFLOP/s, 40 % of the 100 GFLOP/s of the framework's own matrix product" in found.sentence


def test_half_a_step_of_fixed_cost_is_overhead_bound():
    just, short = OVERHEAD_BOUND + 0.01, OVERHEAD_BOUND - 0.01
    assert cause(planted(just, 1 - just)).kind == "overhead-bound"
    assert cause(planted(short, 1 - short)).kind == "compute-bound"
    assert "fixed cost: launches, Python, one time step after another, the update" in cause(planted(0.6, 0.4)).sentence


def test_an_epoch_whose_steps_wait_is_input_bound_whatever_the_staged_step_is_made_of():
    for fixed_s in (0.01, 0.09):
        evidence = planted(fixed_s, 0.1 - fixed_s, epoch_step_s=0.1 * INPUT_BOUND * 1.02)
        found = cause(evidence)
        assert found.kind == "input-bound"
        assert found.sentence.startswith(
            "In an epoch a step takes 153 ms, 1.53 times the 100 ms on staged batches: it w"
        )
    assert cause(planted(0.01, 0.09, epoch_step_s=0.1 * INPUT_BOUND * 0.99)).kind == "compute-bound"


def test_without_a_small_step_nothing_is_determined_and_the_sentence_says_why():
    found = cause(planted(0.01, 0.09, small_step_s=None, small_share=None))
    assert found.kind == "not determined"
    assert found.sentence.startswith("No step of a small batch was measured, so fixed cost and cost per sample cannot")


def test_a_wait_for_data_needs_no_small_step_to_be_found():
    found = cause(planted(0.01, 0.09, small_step_s=None, small_share=None, epoch_step_s=0.3))
    assert found.kind == "input-bound"
    assert "small batch" not in found.sentence


def test_what_was_not_measured_is_said_and_not_made_up():
    found = cause(planted(0.01, 0.09, epoch_step_s=None, ceiling_flops=None))
    assert found.kind == "compute-bound"
    assert "no epoch was measured, so a wait for data cannot be ruled out" in found.sentence
    assert found.sentence.endswith("20 GFLOP/s, of a ceiling that was not measured.")


def test_a_low_share_of_the_ceiling_is_not_passed_off_as_arithmetic():
    low, high = planted(0.01, 0.39), planted(0.01, 0.14)  # 5 and 13.3 GFLOP/s of 100
    assert low.achieved_share == near(0.05)
    assert "at that rate its arithmetic would take 20 ms, so kernels that move memory" in cause(low).sentence
    assert "arithmetic" not in cause(high).sentence


@pytest.mark.parametrize("small_step_s", [1.0, 1e-9])
def test_noise_cannot_make_a_fixed_cost_below_nothing_or_above_the_step(small_step_s):
    evidence = planted(0.01, 0.09, small_step_s=small_step_s)
    assert evidence.fixed_s is not None
    assert 0 <= evidence.fixed_s <= evidence.step_s
    assert cause(evidence).kind == ("overhead-bound" if small_step_s == 1.0 else "compute-bound")


@pytest.mark.parametrize("small_share", [0.0, 1.0, 1.5, -1.0])
def test_a_small_batch_that_is_not_smaller_tells_nothing(small_share):
    assert cause(planted(0.01, 0.09, small_share=small_share)).kind == "not determined"


@pytest.mark.parametrize("step_s", [0.0, -1.0, math.nan, math.inf])
def test_a_step_time_that_is_none_is_refused_with_its_value(step_s):
    with pytest.raises(ValueError, match=re.escape(f"step_s is {step_s!r}; expected a time")):
        cause(dataclasses.replace(planted(0.01, 0.09), step_s=step_s))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_sentences_have_units_that_fit_and_no_exponents(scale):
    sentence = cause(planted(0.2 * scale, 0.8 * scale)).sentence
    shown = {1e-6: "1 µs", 1e-3: "1 ms", 1.0: "1 s", 1e3: "1,000 s"}[scale]
    assert sentence.startswith(f"A step takes {shown}, with 12.5 % of its samples ")
    assert not re.search(r"\de[+-]\d", sentence)


def test_a_ceiling_that_is_no_rate_gives_no_share():
    assert planted(0.01, 0.09, ceiling_flops=0.0).achieved_share is None
