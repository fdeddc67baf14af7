"""The interval is the textbook's, the verdicts follow from it, and blocks stop when every pair is narrow."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats as scipy_stats

from bench import effects
from bench.effects import Effect

ROOT = Path(__file__).parent.parent
FIGURES_A = {1: 1.10, 2: 1.02, 3: 1.05, 4: 1.00, 5: 1.07, 6: 1.04, 7: 1.03}
FIGURES_B = {1: 1.00, 2: 0.99, 3: 1.01, 4: 1.02, 5: 0.98, 6: 1.00, 7: 1.00}


def between(low: float, high: float, blocks: int = 6) -> Effect:
    return Effect(math.sqrt(low * high), low, high, blocks, None)


def of(a: dict[int, float], b: dict[int, float]) -> Effect:
    found = effects.effect(a, b)
    assert found is not None
    return found


def first(blocks: int, figures: dict[int, float]) -> dict[int, float]:
    return {block: figures[block] for block in range(1, blocks + 1)}


@pytest.mark.parametrize(("blocks", "level"), [(2, 0.95), (3, 0.95), (5, 0.95), (6, 0.965), (7, 0.965)])
def test_the_interval_is_scipys_paired_t_interval_on_logs_at_the_level_of_so_many_blocks(
    blocks: int, level: float
) -> None:
    found = of(first(blocks, FIGURES_A), first(blocks, FIGURES_B))
    logs = [math.log(FIGURES_A[block]) - math.log(FIGURES_B[block]) for block in range(1, blocks + 1)]
    interval = scipy_stats.ttest_1samp(logs, 0).confidence_interval(level)
    # Same formula, other order of sums: differs in the last digits.
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)), rel=1e-9)
    assert found.ratio == pytest.approx(scipy_stats.gmean([math.exp(log) for log in logs]), rel=1e-12)
    assert found.blocks == blocks


def test_the_detectable_effect_has_the_power_it_claims() -> None:
    found = of(FIGURES_A, FIGURES_B)
    degrees = found.blocks - 1
    quantile = scipy_stats.t.ppf((1 + effects.STOPPED_CONFIDENCE) / 2, degrees)
    error = math.log(found.high / found.ratio) / quantile
    assert found.detectable is not None
    noncentrality = math.log1p(found.detectable) / error
    # The inversion behind it is iterated to about six digits.
    assert scipy_stats.nct.sf(quantile, degrees, noncentrality) == pytest.approx(effects.POWER, abs=1e-4)


def test_the_other_way_round_is_the_same_in_reverse() -> None:
    one, other = of(FIGURES_A, FIGURES_B), of(FIGURES_B, FIGURES_A)
    assert (other.ratio, other.low, other.high) == pytest.approx((1 / one.ratio, 1 / one.high, 1 / one.low))
    assert other.detectable == pytest.approx(one.detectable)
    assert effects.verdict(one) == "SLOWER"
    assert effects.verdict(other) == "FASTER"


def test_only_blocks_that_both_have_are_compared() -> None:
    found = of({1: 2.0, 2: 2.0, 3: 50.0}, {2: 1.0, 1: 1.0, 4: 50.0})
    assert (found.ratio, found.blocks) == (pytest.approx(2.0), 2)
    assert effects.effect({1: 1.0}, {2: 1.0}) is None
    assert effects.effect({}, {}) is None


def test_one_block_claims_nothing_but_its_ratio() -> None:
    found = of({3: 2.0}, {3: 1.0})
    assert found == Effect(pytest.approx(2.0), 0.0, math.inf, 1, None)
    assert effects.verdict(found) == "UNRESOLVED"
    assert not effects.narrow(found)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "SAME"), (1.01, "SAME"), (2.0, "SLOWER"), (0.5, "FASTER")])
def test_blocks_without_scatter_have_an_interval_of_no_width(factor: float, expected: str) -> None:
    found = of(dict.fromkeys(range(6), factor), dict.fromkeys(range(6), 1.0))
    assert found.low == found.ratio == found.high == pytest.approx(factor)
    assert found.detectable == 0
    assert effects.verdict(found) == expected
    assert effects.narrow(found)


def test_blocks_that_differ_beyond_measure_are_unresolved_not_an_overflow() -> None:
    found = of({1: 1e-300, 2: 1e300}, {1: 1.0, 2: 1.0})
    assert (found.low, found.high, found.detectable) == (0.0, math.inf, math.inf)
    assert effects.verdict(found) == "UNRESOLVED"
    assert not effects.narrow(Effect(1.0, 0.0, math.inf, 9, math.inf))


@pytest.mark.parametrize("figure", [0.0, -1.0, math.inf, math.nan])
def test_a_figure_that_is_no_time_is_refused_by_its_block(figure: float) -> None:
    with pytest.raises(ValueError, match=r"block 7 is .*expected a positive time"):
        effects.effect({7: 1.0}, {7: figure})


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.99, 1.01, "SAME"),
        (0.981, 1.02, "SAME"),
        (1.001, 1.015, "SAME"),  # excludes 1, and is proved to be of no consequence
        (0.985, 0.999, "SAME"),
        (1.001, 1.021, "SLOWER"),
        (0.97, 0.999, "FASTER"),
        (0.98, 0.999, "FASTER"),  # 1 / 1.02 is 0.9804
        (0.97, 1.03, "UNRESOLVED"),
        (1.0, 1.03, "UNRESOLVED"),
        (0.97, 1.0, "UNRESOLVED"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_margin(low: float, high: float, expected: str) -> None:
    reverse = {"FASTER": "SLOWER", "SLOWER": "FASTER"}
    assert effects.verdict(between(low, high), 0.02) == expected
    assert effects.verdict(between(1 / high, 1 / low), 0.02) == reverse.get(expected, expected)


def test_a_wider_margin_makes_the_same_of_what_was_unresolved() -> None:
    assert effects.verdict(between(0.97, 1.03), 0.05) == "SAME"


@pytest.mark.parametrize(
    ("ratio", "half", "expected"),
    [
        (1.0, 0.0098, True),  # half of log(1.02) is 0.0099
        (1.0, 0.0100, False),
        (1.1, 0.0237, True),  # a quarter of log(1.1) is 0.0238
        (1.1, 0.0240, False),
        (0.5, 0.1700, True),
        (0.5, 0.1750, False),
    ],
)
def test_narrow_is_half_the_margin_or_a_quarter_of_the_effect(ratio: float, half: float, expected: bool) -> None:
    found = Effect(ratio, ratio * math.exp(-half), ratio * math.exp(half), effects.FIRST_LOOK, None)
    assert effects.narrow(found, 0.02) is expected
    assert not effects.narrow(Effect(ratio, found.low, found.high, effects.FIRST_LOOK - 1, None), 0.02)


def test_a_narrow_interval_around_one_is_the_same_and_a_large_effect_is_resolved() -> None:
    assert effects.verdict(between(math.exp(-0.0099), math.exp(0.0099)), 0.02) == "SAME"
    assert effects.verdict(Effect(1.1, 1.1 * math.exp(-0.0238), 1.1 * math.exp(0.0238), 6, None), 0.02) == "SLOWER"


def test_enough_is_every_pair_narrow() -> None:
    quiet = {"a": dict.fromkeys(range(6), 1.0), "b": dict.fromkeys(range(6), 1.1)}
    noisy = dict(enumerate([1.0, 1.3, 0.9, 1.2, 1.0, 1.1]))
    assert effects.enough(quiet, 0.02)
    assert not effects.enough({**quiet, "c": noisy}, 0.02)
    assert effects.enough({**quiet, "c": {99: 1.0}}, 0.02), "without a common block there is nothing to wait for"
    assert effects.enough({"a": noisy}, 0.02)
    assert effects.enough({}, 0.02)


def test_each_pair_is_named_once_and_in_order() -> None:
    assert effects.pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert effects.pairs(["a"]) == []


def test_of_scipy_only_the_special_functions_are_loaded() -> None:
    script = "import sys, bench.effects; print('scipy.special' in sys.modules, 'scipy.stats' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert found.split() == ["True", "False"]
