"""What a cell is assumed to take before anything is measured, and what other cells' times say of it."""

import pytest
from even_cells import a_cell

from bench import catalogue, record
from bench.estimate import FORWARD_SHARE, Assumptions, Estimator
from bench.profiles import PROFILES, STARTS_SEEDS
from bench.record import STARTS, Cell, CurvePoint, PlannedCell


def estimator(*names: str, profile: str = "book", cores: int = 1, **assumed: float) -> Estimator:
    chosen = PROFILES[profile]
    specs = {name: catalogue.load(name) for name in names}
    return Estimator(specs, cores, chosen.rounds, chosen.steps_per_round["cpu"], Assumptions(**assumed))


def planned(name: str, *phases: str, arm: str = "arm") -> PlannedCell:
    return PlannedCell(f"{name}.{arm}.cpu.b01", name, arm, "cpu", 1, phases, 0.0)


@pytest.mark.parametrize(
    ("name", "time_steps"), [("conv_only", 0), ("conv_dilated", 0), ("conv_gru", 74), ("gru", 240), ("lstm", 500)]
)
def test_every_time_step_of_any_recurrent_layer_is_assumed_to_take_its_time(name, time_steps):
    assumed = Assumptions(start_s=0.0, flops_per_core=float("inf"), step_overhead_s=0.0, time_step_s=0.5)
    guess = Estimator({name: catalogue.load(name)}, cores=1, rounds=3, steps_per_round=1, assumptions=assumed)
    assert guess.wall_s(planned(name, "train_step")) == 3 * 0.5 * time_steps


MEASURED_MS = {
    "conv": (107, 179, 224),
    "conv_only": (9, 14, 20, 33),
    "conv_gru": (50,),
    "gru": (51, 237),
    "lstm": (443,),
}
"""Steps of the stock arms on two cores of a cloud's Xeon of 2023, quiet and busy."""


@pytest.mark.parametrize(("name", "steps_ms"), MEASURED_MS.items())
def test_a_whole_training_is_assumed_within_a_factor_of_two_of_what_the_arms_took(name, steps_ms):
    spec = catalogue.load(name)
    steps = spec.epochs * spec.steps_per_epoch
    measured_s = steps * sum(steps_ms) / len(steps_ms) / 1000  # without validation, which takes a fifth of it or less
    assert measured_s / 2 < estimator(name, cores=2).wall_s(planned(name, "converge")) < 2 * 1.2 * measured_s


def test_a_study_of_dead_starts_is_assumed_to_take_a_forward_pass_of_all_samples_for_every_seed():
    guess = estimator("conv", start_s=10.0, flops_per_core=float("inf"), step_overhead_s=0.06, time_step_s=0.0)
    passes = 2 * STARTS_SEEDS * 157
    assert guess.wall_s(planned("conv", STARTS)) == pytest.approx(10.0 + passes * FORWARD_SHARE * 0.06)


def test_a_study_takes_what_a_trainings_steps_say_and_a_training_what_a_studys_passes_say():
    """The one must not be estimated as if it were the other: the time limit of a cell hangs on it."""
    curve = tuple(CurvePoint(n, {"loss": 1.0}, {"loss": 1.0}, 100.0, 8.0) for n in range(1, 10))
    tested = record.Tested(9, {"loss": 1.0}, 5.0, ({"loss": 1.0},) * 2)
    whole = a_cell(
        "arm", 1, 0.2, phase="converge", curve=curve, tested=tested, wall_s=20.0 + 9 * (100.0 + 8.0) + 5.0 + 2 * 8.0
    )
    guess = estimator("conv")
    guess.add(planned("conv", "converge"), whole)
    assert guess.wall_s(planned("conv", STARTS)) == pytest.approx(20.0 + 100 * 157 * 0.2 / 3)
    assert guess.wall_s(planned("conv", "converge")) == whole.wall_s

    study = a_cell("arm", 0, 0.05, phase=STARTS, wall_s=20.0 + 9 * 500 * 0.05)
    guess = estimator("conv")
    guess.add(planned("conv", STARTS), study)
    # Ten epochs of 157 steps, each three times a pass, with 40 passes of validation each; 196 of the test set.
    expected_s = 20.0 + 10 * (157 * 0.15 + 40 * 0.05) + 196 * 0.05
    assert guess.wall_s(planned("conv", "converge")) == pytest.approx(expected_s)


def test_what_an_arm_took_on_another_workload_says_more_than_what_other_arms_took():
    guess = estimator("conv", "gru")
    first_s = {arm: guess.wall_s(planned("gru", "converge", arm=arm)) for arm in ("fast", "slow", "new")}
    assumed_s = guess.wall_s(planned("conv", "converge"))
    for arm, factor in (("fast", 0.5), ("slow", 2.5)):
        cell: Cell = a_cell(arm, 1, 0.1, phase="converge", wall_s=factor * assumed_s)
        guess.add(planned("conv", "converge", arm=arm), cell)
    for arm, factor in (("fast", 0.5), ("slow", 2.5), ("new", 1.5)):
        assert guess.wall_s(planned("gru", "converge", arm=arm)) == pytest.approx(factor * first_s[arm])
