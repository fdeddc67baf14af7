"""Trainings: killed and taken up again they are the same ones; what is tested at their end; what their record tells."""

import json
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from even_cells import a_cell
from training_cells import learned, seen, train

import bench.data
from bench import catalogue, cell, derived
from bench.data.windows import SHUFFLES, Dataset, Source
from bench.display.standings import Standings
from bench.estimate import Estimator
from bench.record import CurvePoint, PlannedCell

EPOCHS = 4


@pytest.fixture(scope="module")
def windows(tmp_path_factory) -> Path:
    """A prepared folder of a few windows of `conv_gru`: four steps an epoch, three batches to validate, two to test."""
    spec = catalogue.load("conv_gru").data
    random = np.random.RandomState(0)
    rows = 1000
    dataset = Dataset(
        source=Source("synthetic", "a few windows made by a test", ()),
        inputs=random.standard_normal((rows, spec.features)).astype(np.float32),
        targets=random.standard_normal(rows).astype(np.float32),
        offsets=np.arange(-spec.lookback, 0, spec.step, dtype=np.int32),
        ranges={"train": (720, 900), "validation": (900, 924), "test": (924, 940)},
        batch_size=8,
        steps_per_epoch=4,
    )
    folder = tmp_path_factory.mktemp("prepared") / "windows"
    bench.data.save(dataset, folder)
    return folder


@pytest.fixture(scope="module")
def trainings(windows, tmp_path_factory) -> dict[str, Path]:
    """One training left alone, and one killed inside its third epoch of four and taken up again; one thread."""
    folder = tmp_path_factory.mktemp("trainings")
    outs = {name: folder / name for name in ("alone", "killed", "resumed")}
    checkpoint = str(folder / "checkpoint")
    assert train(outs["alone"], windows, "torch-eager", epochs=EPOCHS) == 0
    killed = train(outs["killed"], windows, "torch-eager", epochs=EPOCHS, checkpoint=checkpoint, dies_in=3)
    assert killed == -signal.SIGKILL
    assert train(outs["resumed"], windows, "torch-eager", epochs=EPOCHS, checkpoint=checkpoint) == 0
    return outs


def test_a_training_killed_inside_an_epoch_goes_on_to_the_same_curve_bit_for_bit(trainings):
    alone, killed, resumed = (learned(trainings[name]) for name in ("alone", "killed", "resumed"))
    assert [epoch for epoch, _, _ in alone] == [1, 2, 3, 4]
    assert killed == alone[:2], "the epoch it was killed in leaves nothing"
    assert resumed == alone
    assert len({validation["loss"] for _, _, validation in alone}) == EPOCHS, (
        "a training that stands still shows nothing"
    )


def test_the_curve_of_a_training_taken_up_keeps_the_times_of_the_epochs_trained_before(trainings):
    before, after = cell.curve(trainings["killed"]), cell.curve(trainings["resumed"])
    assert after[:2] == before
    (entry,) = cell.measured(trainings["resumed"])["benchmarks"]
    assert entry["stats"]["data"] == [point.train_s for point in after[2:]]
    assert seen(trainings["resumed"]).resumed == (2,)
    assert seen(trainings["alone"]).resumed == ()


def test_the_test_set_is_evaluated_once_with_the_weights_of_the_best_epoch(trainings):
    points = cell.curve(trainings["alone"])
    losses = [point.validation["loss"] for point in points]
    tested = seen(trainings["alone"]).tested
    assert tested is not None
    assert tested.epoch == 1 + int(np.argmin(losses))
    assert tested.metrics.keys() == {"loss"}
    assert tested.seconds > 0
    again = seen(trainings["resumed"]).tested
    assert again is not None
    assert (again.epoch, again.metrics, again.shuffled) == (tested.epoch, tested.metrics, tested.shuffled)


def test_a_series_is_validated_under_other_orders_of_its_time_steps_with_those_weights(trainings):
    tested = seen(trainings["alone"]).tested
    assert tested is not None
    best = cell.curve(trainings["alone"])[tested.epoch - 1].validation["loss"]
    losses = [metrics["loss"] for metrics in tested.shuffled]
    assert len(losses) == len(set(losses)) == SHUFFLES
    # A model of order sees another window. That it is of the same model: noise of standard deviation 1 is not forecast
    # by either, and their losses lie together; the initial weights' lie elsewhere.
    assert best not in losses
    assert all(abs(loss - best) < 0.5 for loss in losses)


@pytest.fixture(scope="module")
def fakes(windows, tmp_path_factory) -> Path:
    """A folder with the checkpoint of a whole training of three epochs under seed 0, and what it handed back."""
    folder = tmp_path_factory.mktemp("fakes")
    assert train(folder / "first", windows, "fake-1ms", epochs=3, checkpoint=str(folder / "checkpoint")) == 0
    return folder


def test_the_first_of_equally_good_epochs_is_the_best(fakes):
    tested = seen(fakes / "first").tested
    assert tested is not None
    assert tested.epoch == 1  # fake-1ms validates with 0.25 after every epoch
    curve = [CurvePoint(n, {}, {"accuracy": a, "loss": 1.0}, 1.0, 1.0) for n, a in enumerate((0.5, 0.9, 0.9, 0.7), 1)]
    assert derived.best_point(curve, "accuracy").epoch == 2
    assert derived.best_point(curve, "loss").epoch == 1


def test_a_training_killed_after_its_last_epoch_trains_only_that_one_again(fakes, windows):
    out = fakes / "again"
    assert train(out, windows, "fake-1ms", epochs=3, checkpoint=str(fakes / "checkpoint")) == 0
    assert seen(out).resumed == (2,)
    assert learned(out) == learned(fakes / "first")
    assert seen(out).unused_checkpoint is None
    assert "goes on after epoch 2" in (out / "output").read_text()


def test_a_checkpoint_of_another_seed_is_left_alone_and_said_to_be(fakes, windows):
    out = fakes / "other"
    copy = fakes / "copy"
    copy.write_bytes((fakes / "checkpoint").read_bytes())
    assert train(out, windows, "fake-1ms", epochs=3, seed=1, checkpoint=str(copy)) == 0
    why = seen(out).unused_checkpoint
    assert why is not None
    assert "is of another training (seed 0, not 1; weights" in why
    assert why in (out / "output").read_text()
    assert seen(out).resumed == ()
    assert len(cell.curve(out)) == 3


def test_a_checkpoint_in_a_folder_that_is_not_there_is_told_before_anything_is_trained(windows, tmp_path):
    out = tmp_path / "out"
    assert train(out, windows, "fake-1ms", epochs=3, checkpoint=str(tmp_path / "none" / "checkpoint")) != 0
    failure = seen(out).failure
    assert failure is not None
    assert "the folder it is to lie in is not there; make it, or name another" in failure
    assert cell.curve(out) == ()


def test_a_training_that_goes_to_nan_is_told_to_have_diverged(windows, tmp_path):
    out = tmp_path / "out"
    assert train(out, windows, "fake-nan-loss", epochs=3) != 0
    assert seen(out).failure == "converge: loss of fake-nan-loss is nan in epoch 1"
    assert seen(out).diverged
    assert seen(out).tested is None


RESUMED = a_cell(
    "torch-eager",
    1,
    0.02,
    phase="converge",
    resumed=(3, 5),
    curve=tuple(CurvePoint(n, {"loss": 1.0}, {"loss": 1.0}, 5.0 if n <= 5 else 10.0, 1.0) for n in range(1, 15)),
)
"""Five epochs of 5 s by processes that were killed, nine of 10 s by the one whose rounds it holds."""


def test_the_epochs_of_a_resumed_training_are_those_of_its_curve():
    phase = derived.phases(RESUMED)["converge"]
    assert phase.rounds_s == (5.0,) * 5 + (10.0,) * 9
    assert phase.counted_s == phase.rounds_s
    assert phase.earlier_rounds == 5
    assert derived.step_s(RESUMED, "converge") == 10.0 / 500
    assert Standings().add(RESUMED) == "10.0 s an epoch"
    alone = msgspec.structs.replace(RESUMED, resumed=())
    assert derived.phases(alone)["converge"].rounds_s == (10.0,) * 9


def test_a_resumed_training_takes_as_long_again_as_all_of_its_processes_took():
    planned = PlannedCell("next", "conv", "torch-eager", "cpu", 1, ("converge",), 0.0)
    estimator = Estimator({"conv": catalogue.load("conv")}, cores=1, rounds=1, steps_per_round=1)
    estimator.add(planned, RESUMED)
    assert estimator.wall_s(planned) == RESUMED.wall_s + 5 * (5.0 + 1.0)


def test_a_training_of_the_data_at_hand_is_recorded_as_json(trainings):
    """What the process hands back reads back equal: nothing in it is of a framework's own type."""
    raw = json.loads((trainings["resumed"] / cell.OBSERVED_FILE).read_bytes())
    assert raw["resumed"] == [2]
    assert raw["diverged"] is False
    assert raw["tested"]["epoch"] == seen(trainings["resumed"]).tested.epoch
