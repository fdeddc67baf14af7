import itertools
from typing import Any

import numpy as np
import pytest
from make_training import CONV, JENA, Shape, by_arm, make_training, simulate

from bench.judgement import equivalence
from bench.judgement.equivalence import Equivalence, compare, judge, needed

MARGIN = 0.01
TRIALS = 200
POWERED = {"conv": 5, "jena": 7}
"""Seeds with which two equal arms are found EQUIVALENT in more than 90 % of the trials."""
SHAPES = {"conv": CONV, "jena": JENA}


def trial(shape: Shape, seeds: int, shift: float, number: int) -> Equivalence:
    draw = np.random.default_rng([17, number])
    arms = by_arm(simulate(draw, shape, 2, seeds, shift), metric=shape.metric, bare=True)
    return judge(arms["a"], arms["b"], MARGIN)


def verdicts(shape: Shape, seeds: int, shift: float, trials: int = TRIALS) -> list[str]:
    return [trial(shape, seeds, shift, number).verdict for number in range(trials)]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("direction", [1, -1])
def test_a_shift_of_two_margins_is_different_in_95_of_100_trials(name: str, direction: int) -> None:
    found = verdicts(SHAPES[name], POWERED[name], 2 * MARGIN * direction)
    assert found.count("DIFFERENT") >= 0.95 * TRIALS
    assert "EQUIVALENT" not in found


@pytest.mark.parametrize("name", SHAPES)
def test_no_shift_is_equivalent_in_90_of_100_trials_when_powered(name: str) -> None:
    found = verdicts(SHAPES[name], POWERED[name], 0.0)
    assert found.count("EQUIVALENT") >= 0.9 * TRIALS
    assert "DIFFERENT" not in found


@pytest.mark.parametrize("shift", [0.0, MARGIN, 5 * MARGIN])
def test_two_seeds_are_underpowered_whatever_they_show(shift: float) -> None:
    assert set(verdicts(CONV, 2, shift)) == {"UNDERPOWERED"}
    alike = [{seed: make_training([0.8, 0.8 + shift * arm], arm=str(arm), seed=seed) for seed in range(2)}
             for arm in range(2)]  # fmt: skip
    assert judge(*alike, MARGIN).verdict == "UNDERPOWERED", "two equal differences are no proof either"


def test_one_in_twenty_at_most_is_falsely_equivalent_and_as_many_falsely_different() -> None:
    """At a true difference of exactly the margin, where both tests are at their level.

    Drawn as differences, so that 4000 trials are cheap: their share scatters by 0.0034; three times that is allowed.
    """
    draw, trials = np.random.default_rng(5), 4000
    allowed = 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    for seeds, scatter in itertools.product((3, 6, 12), (0.002, 0.006)):
        found = [
            equivalence.decide(equivalence.intervals.mean(each, 0.9), MARGIN, False, 0, 0)
            for each in draw.normal(MARGIN, scatter, (trials, seeds)).tolist()
        ]
        assert found.count("EQUIVALENT") / trials <= allowed
        assert found.count("DIFFERENT") / trials <= allowed


def test_curves_that_differ_by_the_margin_are_rarely_called_equivalent() -> None:
    """Of 200 whole curves the share scatters by 0.015; the best of ten noisy epochs must not break the level."""
    for name, shape in SHAPES.items():
        found = verdicts(shape, POWERED[name], MARGIN)
        assert found.count("EQUIVALENT") / TRIALS <= 0.05 + 3 * 0.0154


def censored(kind: str, good: list[float], seed: int) -> Any:
    if kind == "dead":
        return make_training([0.506] * len(good), arm="b", seed=seed, dead=True)
    ended: Any = "diverged" if kind == "diverged" else "failed"
    epochs = {"diverged": 4, "failed": 9, "nothing": 0}[kind]
    return make_training(good[:epochs], arm="b", seed=seed, ended=ended)


@pytest.mark.parametrize("kind", ["dead", "diverged", "failed", "nothing"])
@pytest.mark.parametrize("seeds", [3, 8, 400])
def test_a_dead_diverged_or_failed_seed_in_one_arm_never_gives_equivalent(kind: str, seeds: int) -> None:
    """With 400 seeds even the mean with the dead one's value in it lies inside the margin."""
    values = simulate(np.random.default_rng(3), CONV, 2, seeds)
    arms = by_arm(values)
    assert judge(arms["a"], arms["b"], MARGIN).verdict == "EQUIVALENT" or seeds == 3
    arms["b"][1] = censored(kind, values[1, 1].tolist(), 1)
    found = judge(arms["a"], arms["b"], MARGIN)
    assert found.verdict == "UNDERPOWERED"
    assert found.worse_fate_b == (1,)
    assert len(found.barred) == 1
    assert 1 not in found.differences
    assert found.needed is None, "more seeds are not what is missing"


def test_a_pair_that_diverged_in_both_arms_says_nothing_and_bars_equivalence() -> None:
    values = simulate(np.random.default_rng(3), CONV, 2, 8)
    arms = by_arm(values)
    for arm in "ab":
        arms[arm][2] = make_training(values[0, 2, :3], arm=arm, seed=2, ended="diverged")
    found = judge(arms["a"], arms["b"], MARGIN)
    assert (found.verdict, found.worse_fate_a, found.worse_fate_b) == ("UNDERPOWERED", (), ())
    assert found.barred == ("seed 2: a diverged and b diverged",)


def test_a_seed_that_is_dead_in_both_arms_is_alike_and_counted_apart() -> None:
    values = simulate(np.random.default_rng(3), CONV, 2, 9)
    arms = by_arm(values)
    for arm in "ab":
        arms[arm][4] = make_training([0.506] * 10, arm=arm, seed=4, dead=True)
    found = judge(arms["a"], arms["b"], MARGIN)
    assert (found.verdict, found.dead_alike, len(found.differences)) == ("EQUIVALENT", (4,), 8)
    only = judge({4: arms["a"][4]}, {4: arms["b"][4]}, MARGIN)
    assert (only.verdict, only.estimate, only.epoch) == ("UNDERPOWERED", None, None)


def test_fates_alone_decide_from_six_that_go_wrong_on_one_side() -> None:
    values = simulate(np.random.default_rng(3), CONV, 2, 12)
    for wrong, verdict in ((5, "UNDERPOWERED"), (6, "DIFFERENT")):  # 2 / 2**6 = 0.031, 2 / 2**5 = 0.063
        arms = by_arm(values)
        for seed in range(wrong):
            arms["b"][seed] = censored("diverged", values[1, seed].tolist(), seed)
        assert judge(arms["a"], arms["b"], MARGIN).verdict == verdict


def test_different_by_value_does_not_stand_where_a_fate_speaks_for_the_arm_that_is_behind() -> None:
    values = simulate(np.random.default_rng(3), CONV, 2, 8, shift=-5 * MARGIN)
    for arm, verdict in (("a", "UNDERPOWERED"), ("b", "DIFFERENT")):
        arms = by_arm(values)
        arms[arm][0] = make_training(values[0, 0, :2], arm=arm, seed=0, ended="diverged")
        assert judge(arms["a"], arms["b"], MARGIN).verdict == verdict, "b is behind by five margins"


def test_a_loss_is_better_when_it_is_less_and_the_sign_says_who_is_ahead() -> None:
    for metric, ahead in (("accuracy", 0.1), ("loss", -0.1)):
        a, b = ({seed: make_training([0.5, value], arm=arm, seed=seed, metric=metric) for seed in range(3)}
                for arm, value in (("a", 0.6), ("b", 0.5)))  # fmt: skip
        found = judge(a, b, MARGIN)
        assert found.estimate is not None
        assert found.estimate.value == pytest.approx(ahead if metric == "accuracy" else 0.0)
        assert found.verdict == ("DIFFERENT" if metric == "accuracy" else "EQUIVALENT")


def test_the_best_epoch_counts_up_to_the_last_one_that_all_have_trained() -> None:
    a = {seed: make_training([0.5, 0.7, 0.6, 0.9], arm="a", seed=seed) for seed in range(3)}
    b = {seed: make_training([0.5, 0.7, 0.65], arm="b", seed=seed) for seed in range(3)}
    found = judge(a, b, MARGIN)
    assert (found.epoch, found.verdict, set(found.differences.values())) == (3, "EQUIVALENT", {0.0})


@pytest.mark.parametrize("name", SHAPES)
def test_as_many_seeds_as_are_said_to_be_needed_decide_four_times_in_five(name: str) -> None:
    """With the scatter of many seeds known, the number holds what it promises; 400 trials scatter by 0.02."""
    shape = SHAPES[name]
    many = trial(shape, 2000, 0.0, 0).differences.values()
    scatter = float(np.std(list(many)))
    wanted = next(n for n in range(3, 101) if equivalence.power(n, 0.0, scatter, MARGIN) >= equivalence.POWER)
    decided = [verdict != "UNDERPOWERED" for verdict in verdicts(shape, wanted, 0.0, 400)]
    assert 0.74 <= np.mean(decided) <= 0.995
    if wanted > 3:
        fewer = [verdict != "UNDERPOWERED" for verdict in verdicts(shape, wanted - 1, 0.0, 400)]
        assert np.mean(fewer) < np.mean(decided)


def test_nobody_is_sent_to_train_more_seeds_than_anyone_would() -> None:
    assert needed([0.0101, 0.0099, 0.0100], MARGIN) == equivalence.MOST + 1, "at the margin nothing decides"
    assert needed([0.3, -0.3], MARGIN) == equivalence.MOST + 1
    assert needed([0.001], MARGIN) is None
    assert needed([0.001, 0.001], MARGIN) == 3
    assert 3 < (needed([0.008, -0.008, 0.001], MARGIN) or 0) <= 30


def test_every_pair_of_arms_with_a_common_seed_is_compared_within_its_workload_and_device() -> None:
    values = simulate(np.random.default_rng(1), CONV, 3, 3)
    cpu = [each for arm in by_arm(values).values() for each in arm.values()]
    gpu = [each for arm in by_arm(values, device="gpu").values() for each in arm.values()]
    alone = make_training(values[0, 0], arm="d", seed=99)
    other = make_training(values[0, 0], arm="b", seed=0, workload="conv.head-as_published")
    found = compare([*cpu, *gpu, alone, other], {"conv": MARGIN, "conv.head-as_published": MARGIN})
    expected = [("conv", device, *pair) for device in ("cpu", "gpu") for pair in ("ab", "ac", "bc")]
    assert [(each.workload, each.device, each.a, each.b) for each in found] == expected
