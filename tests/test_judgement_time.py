from collections.abc import Callable

import numpy as np
import pytest
from make_training import make_training

from bench.judgement import time_to_target
from bench.judgement.time_to_target import frontier, horizon_s, restricted_mean, times
from bench.judgement.trainings import Training

TARGET = 0.82
NEVER = [0.5, 0.7, 0.8, 0.81]


def reaching(epoch: int, arm: str = "a", seed: int = 0, epochs: int = 6, epoch_s: float = 10.0) -> Training:
    values = [0.7] * (epoch - 1) + [0.83] + [0.8] * (epochs - epoch)
    return make_training(values, arm=arm, seed=seed, epoch_s=epoch_s)


def test_the_clock_stops_at_the_end_of_the_first_epoch_that_is_as_good_as_the_target() -> None:
    trainings = [reaching(3), make_training([0.81, TARGET, 0.9], seed=1)]
    training, both = times(trainings, TARGET)
    assert (training.clock, both.clock) == ("training", "training and evaluation")
    assert training.epochs == (3, 2)
    assert training.reached == (30.0, 20.0)
    assert both.reached == (36.0, 24.0), "two seconds of validation an epoch, that of the last one counted"
    assert (training.share, training.horizon_s) == ((2, 2), None)
    assert training.mean_s is not None
    assert (training.mean_s.value, training.mean_s.known) == (25.0, False), "two seeds have no interval"


def test_a_loss_reaches_its_target_from_above() -> None:
    training = make_training([0.5, 0.31, 0.29, 0.3], metric="loss")
    assert times([training], 0.3)[0].epochs == (3,)


def test_what_never_gets_there_counts_as_the_common_horizon() -> None:
    quick = [make_training(NEVER, arm="quick", seed=seed, epoch_s=10.0) for seed in range(3)]
    slow = [reaching(epoch, "slow", seed, epoch_s=30.0) for seed, epoch in enumerate((1, 2, 3))]
    found = {each.arm: each for each in times([*quick, *slow], TARGET) if each.clock == "training"}
    assert {each.horizon_s for each in found.values()} == {40.0}, "the shortest schedule that did not get there"
    assert found["quick"].reached == (None, None, None)
    assert found["slow"].reached == (30.0, 60.0, 90.0)
    assert found["quick"].mean_s is not None
    assert found["quick"].mean_s.value == 40.0
    assert found["slow"].mean_s is not None
    assert found["slow"].mean_s.value == pytest.approx((30 + 40 + 40) / 3)
    assert not found["quick"].mean_s.known, "where nobody got there the seconds say nothing"
    assert (found["quick"].shortest_s, found["slow"].shortest_s) == (40.0, 180.0)


@pytest.mark.parametrize("ended", ["diverged", "failed", "dead"])
def test_a_training_that_goes_wrong_counts_as_the_horizon_and_does_not_shorten_it(ended: str) -> None:
    good = [reaching(2, seed=seed) for seed in (1, 2)]
    values = [0.5] * 6 if ended == "dead" else [0.5]
    bad = make_training(values, seed=0, ended="whole" if ended == "dead" else ended, dead=ended == "dead")  # type: ignore[arg-type]
    found = times([bad, *good], TARGET)[0]
    assert found.horizon_s == 60.0, "the schedule of the whole ones"
    assert found.reached == (None, 20.0, 20.0)
    assert found.mean_s is not None
    assert found.mean_s.value == pytest.approx((60 + 20 + 20) / 3)
    early = make_training([0.83, 0.5], seed=0, ended="diverged")
    assert times([early, *good], TARGET)[0].reached[0] == 10.0, "it got there before"


def test_without_a_whole_schedule_there_is_no_horizon_and_no_mean() -> None:
    found = times([make_training([0.5], ended="diverged"), make_training([], seed=1, ended="failed")], TARGET)[0]
    assert (found.horizon_s, found.mean_s, found.share) == (None, None, (0, 2))
    assert horizon_s([], TARGET, "training") is None


EPOCH_S, LIMIT_S = 10.0, 100.0
SPREADS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "even over six epochs": lambda draw, n: EPOCH_S * draw.integers(3, 9, n),
    "one of two epochs": lambda draw, n: EPOCH_S * draw.choice([4, 5], n),
    "mostly one epoch": lambda draw, n: EPOCH_S * draw.choice([4, 5], n, p=[0.8, 0.2]),
    "about normal": lambda draw, n: EPOCH_S * np.clip(np.ceil(draw.normal(6, 1.5, n)), 1, None),
}


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("seeds", [3, 6])
def test_the_interval_of_the_restricted_mean_covers_what_it_says(name: str, seeds: int) -> None:
    """92 % at least where 95 % is stated: what values even over a segment cover with three seeds (`intervals.mean`).

    Of 1500 trials the share scatters by 0.006 and three times that is allowed.
    """
    draw, trials = np.random.default_rng(8), 1500
    truth = float(np.minimum(SPREADS[name](draw, 200_000), LIMIT_S).mean())
    covered = 0
    for _ in range(trials):
        drawn = (SPREADS[name](draw, seeds) * draw.lognormal(0, 0.02, seeds)).tolist()
        found = restricted_mean([None if time_s > LIMIT_S else time_s for time_s in drawn], LIMIT_S, EPOCH_S)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert covered / trials >= 0.92 - 0.018


def test_an_interval_is_never_narrower_than_an_epoch_can_tell_and_ends_at_the_horizon() -> None:
    same = restricted_mean([40.0, 40.0, 40.0], None, 10.0)
    assert same is not None
    assert same.high is not None
    assert same.high - same.value == pytest.approx(4.303 * 10 / 12**0.5 / 3**0.5, rel=1e-3)
    late = restricted_mean([40.0, 90.0, None], 100.0, 10.0)
    assert late is not None
    assert (late.low, late.high) == (0.0, 100.0)


def test_the_frontier_holds_what_no_other_point_beats() -> None:
    quick = [make_training([0.6, 0.7, 0.7], arm="quick", seed=seed, epoch_s=5.0) for seed in (0, 1)]
    good = [make_training([0.65, 0.6, 0.9], arm="good", seed=seed, epoch_s=10.0) for seed in (0, 1, 7)]
    worse = [make_training([0.5, 0.6, 0.65], arm="worse", seed=seed, epoch_s=20.0) for seed in (0, 1)]
    points = frontier([*quick, *good, *worse])
    assert {(point.arm, point.epoch) for point in points if point.frontier} == {("quick", 1), ("quick", 2), ("good", 3)}
    assert {point.seeds for point in points} == {2}, (
        "of seeds that only one arm has trained nothing is held against others"
    )
    assert [point.value for point in points if point.arm == "good"] == [0.65, 0.65, 0.9]


def test_the_frontier_of_arms_without_a_common_seed_takes_each_ones_own_and_cuts_a_censored_one() -> None:
    whole = make_training([0.6, 0.7, 0.8], arm="whole", seed=0)
    short = [
        make_training([0.6], arm="short", seed=1, ended="diverged"),
        make_training([0.6, 0.9], arm="short", seed=2),
    ]
    assert [(point.arm, point.epoch) for point in frontier([whole, *short])] == [
        ("whole", 1), ("whole", 2), ("whole", 3), ("short", 1),
    ]  # fmt: skip
    assert frontier([]) == ()
    assert time_to_target.epoch_reached(make_training([]), TARGET) is None
