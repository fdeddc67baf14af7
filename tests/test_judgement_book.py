from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from make_book import make_judged
from make_training import make_training

from bench.judgement import book
from bench.judgement.book import Curve, Switch
from bench.judgement.intervals import Estimate
from bench.judgement.trainings import Training
from bench.published import published_curve

PUBLISHED = published_curve("conv_gru.csv")
assert PUBLISHED is not None
LOSSES = PUBLISHED["val_loss"].to_numpy()
SHAKES = (-0.002, 0.0005, 0.0015)


def ours(
    shift: float = 0.0, shakes: Sequence[float] = SHAKES, workload: str = "conv_gru", **given: Any
) -> list[Training]:
    """Trainings that lie `shift` above the published one, a seed for each shake."""
    return [
        make_training(
            LOSSES + shift + shake, workload=workload, metric="loss", others={"train loss": LOSSES},
            **({"seed": seed} | given),
        )
        for seed, shake in enumerate(shakes)
    ]  # fmt: skip


def validation(trainings: list[Training]) -> Curve:
    return next(curve for curve in book.curves(PUBLISHED, trainings) if curve.split == "validation")


def test_every_file_of_published_figures_is_read_and_no_other() -> None:
    found = published_curve("conv.csv")
    assert found is not None
    assert list(found.columns) == ["seconds", "loss", "acc", "val_loss", "val_acc"]
    assert len(PUBLISHED) == 20
    assert published_curve("lstm.csv") is None


def test_the_band_is_that_of_the_seeds_and_the_distance_has_its_sign() -> None:
    curve = validation(ours(0.02))
    assert curve.seeds == (0, 1, 2)
    assert curve.published == pytest.approx(LOSSES)
    assert curve.low == pytest.approx(LOSSES + 0.02 - 0.002)
    assert curve.middle == pytest.approx(LOSSES + 0.02 + 0.0005)
    assert curve.high == pytest.approx(LOSSES + 0.02 + 0.0015)
    assert curve.distance.value == pytest.approx(0.02)
    assert (curve.place, curve.outside) == ("OUTSIDE", 20)
    assert validation(ours(-0.02)).distance.value == pytest.approx(-0.02)
    inside = validation(ours())
    assert (inside.place, inside.outside) == ("INSIDE", 0)


def test_arms_of_a_seed_are_averaged_and_dead_or_broken_trainings_make_no_band() -> None:
    twice = [*ours(0.01, arm="a"), *ours(0.03, arm="b")]
    broken = [
        make_training([9.0] * 20, workload="conv_gru", metric="loss", seed=8, dead=True),
        make_training(LOSSES[:3], workload="conv_gru", metric="loss", seed=9, ended="diverged"),
    ]
    curve = validation([*twice, *broken])
    assert curve.seeds == (0, 1, 2)
    assert curve.distance.value == pytest.approx(0.02)
    assert len(curve.middle) == 20, "a broken one does not cut the others short"
    assert book.curves(PUBLISHED, broken) == ()


def test_from_twenty_seeds_on_the_band_is_of_quantiles() -> None:
    shakes = np.linspace(-1, 1, 41)
    assert validation(ours(shakes=shakes.tolist())).high == pytest.approx(LOSSES + 0.95)
    assert validation(ours(shakes=shakes[:19].tolist())).low == pytest.approx(LOSSES - 1)


def test_fewer_than_three_seeds_place_nothing() -> None:
    curve = validation(ours(0.5, shakes=(0.0, 0.001)))
    assert (curve.place, curve.distance.known) == ("UNRESOLVED", False)


def test_a_training_like_ours_lies_outside_one_time_in_twenty() -> None:
    """The prediction interval of one more, of 2000 trials: 5 %, give or take three times 0.5 %."""
    draw, outside = np.random.default_rng(4), 0
    for *seeds, another in draw.normal(0.3, 0.01, (2000, 4)).tolist():
        outside += book.place(book.predicted([value - another for value in seeds])) == "OUTSIDE"
    assert abs(outside / 2000 - 0.05) <= 3 * (0.05 * 0.95 / 2000) ** 0.5


def gates(own: list[Training], hard: list[Training]) -> Switch:
    variants = {"conv_gru": own, "conv_gru.gate-hard_sigmoid": hard}
    found = book.switches("conv_gru", make_judged("conv_gru", "equivalent"), PUBLISHED, variants)
    assert [switch.what.split()[0] for switch in found] == ["hard", "RMSprop", "the"]
    assert [switch.workload for switch in found][:2] == [HARD, "conv_gru.optimizer-book"]
    return found[0]


HARD = "conv_gru.gate-hard_sigmoid"


@pytest.mark.parametrize(
    ("own", "hard", "effect", "nearer"),
    [(0.03, 0.0, "CLOSES", 0.0287), (0.03, 0.015, "NARROWS", 0.015), (0.015, 0.03, "WIDENS", -0.015)],
)
def test_a_switch_closes_narrows_or_widens_the_distance(own: float, hard: float, effect: str, nearer: float) -> None:
    found = gates(ours(own), ours(hard, workload=HARD))
    assert found.effect == effect
    assert found.nearer is not None
    assert found.nearer.value == pytest.approx(nearer, abs=0.0002)


def test_a_switch_without_trainings_of_the_same_seeds_and_arms_is_not_measured() -> None:
    assert gates(ours(), []).effect == "NOT MEASURED"
    assert gates(ours(), []).why == f"no whole, live training of {HARD}"
    other = gates(ours(arm="a"), ours(arm="b", workload=HARD))
    assert (other.effect, other.why) == ("NOT MEASURED", "no arm and seed trained both this and conv_gru")
    few = gates(ours(0.03, shakes=(0.0, 0.001)), ours(shakes=(0.0, 0.001), workload=HARD))
    assert (few.effect, few.why) == ("UNRESOLVED", "no interval of fewer than 3 seeds")
    noisy = gates(ours(0.01), ours(0.01, shakes=(0.004, -0.004, 0.001), workload=HARD))
    assert noisy.effect == "UNRESOLVED"


def test_a_switch_closes_by_the_trainings_that_have_both_sides_and_not_by_others() -> None:
    far = ours(0.03)
    hard = ours(0.015, workload=HARD)
    beside = ours(-0.2, shakes=(0.0, 0.4), workload=HARD, arm="b")  # so wide that the book could be one of them
    assert validation([*hard, *beside]).place == "INSIDE"
    assert gates(far, [*hard, *beside]).effect == "NARROWS"


def test_every_reason_is_named_and_what_has_no_switch_says_so() -> None:
    genuine = make_judged("conv", "genuine")
    found = book.switches("conv", genuine, PUBLISHED, {})
    assert [(switch.effect, switch.workload, switch.why) for switch in found] == [
        ("NOT MEASURED", "conv.head-as_published", "no training with it"),
        ("NOT MEASURED", "conv.optimizer-book", "no training with it"),
    ]
    assert len(book.switches("conv_only", make_judged("conv_only", "other"), PUBLISHED, {})) == 2


def test_a_switch_is_judged_wherever_all_other_settings_are_the_same() -> None:
    """The book's own curve has the published head: its optimiser is to be switched under that head too."""
    keys = {"conv": 0.03, "conv.head-as_published": 0.02, "conv.head-as_published.optimizer-book": 0.0}
    variants = {key: ours(shift, workload=key) for key, shift in keys.items()}
    found = book.switches("conv", make_judged("conv", "genuine"), PUBLISHED, variants)
    assert [(switch.workload, switch.effect) for switch in found] == [
        ("conv.head-as_published", "NARROWS"),
        ("conv.head-as_published.optimizer-book", "CLOSES"),
    ]


def test_places_need_an_interval() -> None:
    assert book.place(Estimate(0.1, 0.05, 0.2, 3)) == "OUTSIDE"
    assert book.place(Estimate(-0.1, -0.2, -0.05, 3)) == "OUTSIDE"
    assert book.place(Estimate(0.1, -0.05, 0.2, 3)) == "INSIDE"
