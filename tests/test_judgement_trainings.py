from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_book import make_book
from make_run import edit

from bench import record
from bench.judgement import trainings
from bench.judgement.trainings import Training
from bench.report import folder


def read(path: Path) -> dict[str, Training]:
    """By cell."""
    found = folder.load(path)
    assert not found.set_aside
    return {training.cell: training for training in trainings.read(found.run, found.cells)}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_book(tmp_path_factory.mktemp("runs") / "book", workloads=("conv", "conv_only"), seeds=3)


def test_a_training_is_read_with_its_best_so_far_and_its_cumulated_clocks(book: Path) -> None:
    found = read(book)
    assert len(found) == 2 * 2 * 3
    training = found["conv.torch-eager.cpu.s1"]
    cell = record.read(book / "cells" / "conv.torch-eager.cpu.s1.json", record.Cell)
    accuracies = [point.validation["accuracy"] for point in cell.curve]
    assert training.values == tuple(accuracies)
    assert training.best == tuple(max(accuracies[: epoch + 1]) for epoch in range(10))
    assert accuracies[training.best_epoch - 1] == max(accuracies)
    assert training.train_s[2] == pytest.approx(sum(point.train_s for point in cell.curve[:3]))
    assert training.validate_s[-1] == pytest.approx(sum(point.validate_s for point in cell.curve))
    assert (training.seed, training.ended, training.dead, training.censored) == (1, "whole", False, False)
    assert training.samples_per_epoch == 20_000, "the last batch of an epoch is short"
    least = found["conv_only.torch-eager.cpu.s0"]
    assert least.metric == "loss"
    assert list(least.best) == sorted(least.best, reverse=True), "a loss is better when it is less"


@pytest.mark.parametrize(
    ("changes", "ended", "epochs"),
    [
        ({"status": "failed", "reason": "out of memory"}, "failed", 4),
        ({"status": "failed", "reason": "loss is nan in epoch 5", "diverged": True}, "diverged", 4),
        ({"status": "failed", "reason": "no test set"}, "whole", 10),
        ({"status": "failed", "reason": "died before the first epoch"}, "failed", 0),
    ],
)
def test_a_failed_training_stays_in_with_the_epochs_it_has(
    tmp_path: Path, changes: dict[str, Any], ended: str, epochs: int
) -> None:
    path = make_book(tmp_path / "run", workloads=("conv",), seeds=2)
    cell = path / "cells" / "conv.keras-tensorflow.cpu.s1.json"
    whole = record.read(cell, record.Cell).curve
    edit(cell, curve=whole[:epochs], pytest_benchmark={}, tested=None, **changes)
    training = read(path)["conv.keras-tensorflow.cpu.s1"]
    assert (training.ended, training.epochs, training.censored) == (ended, epochs, ended != "whole")
    assert training.reason == changes["reason"]
    assert training.samples_per_epoch == 157 * 128, "of a training that left no rounds, whole batches are counted"


def test_what_was_never_trained_is_no_training_and_is_listed_with_its_reason(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv",), seeds=4, untrained=("keras-jax",))
    cells = path / "cells"
    edit(cells / "conv.torch-eager.cpu.s0.json", status="hole", reason="budget spent", curve=(), pytest_benchmark={})
    edit(cells / "conv.torch-eager.cpu.s1.json", status="failed", reason="refused: parity", curve=(), wall_s=0.0,
         pytest_benchmark={})  # fmt: skip
    (cells / "conv.torch-eager.cpu.s2.json").unlink()
    found = folder.load(path)
    left = {(entry.arm, entry.seed): entry.reason for entry in trainings.untried(found.run, found.cells)}
    assert left == {
        ("torch-eager", 0): "budget spent",
        ("torch-eager", 1): "refused: parity",
        ("torch-eager", 2): "planned, not trained",
        **{("keras-jax", seed): "simulated hole" for seed in range(4)},
    }
    assert len(read(path)) + len(left) == len(found.run.plan)


def test_runs_without_a_declared_quality_and_cells_of_other_phases_are_not_judged(tmp_path: Path, book: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv",), seeds=1)
    run = record.read(path / "run.json", record.Run)
    quick = tuple(msgspec.structs.replace(planned, phases=("train_step", "epoch")) for planned in run.plan)
    edit(path / "run.json", plan=quick)
    assert read(path) == {}
    undeclared = {name: msgspec.structs.replace(spec, quality=None) for name, spec in run.workloads.items()}
    edit(path / "run.json", plan=run.plan, workloads=undeclared)
    assert read(path) == {}
    found = folder.load(path)
    assert trainings.untried(found.run, ()) == ()


def test_a_published_head_whose_loss_never_moves_is_dead_and_one_that_stops_has_died(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv.head-as_published", "conv"), seeds=4)

    def still(key: str, seed: int, from_epoch: int, wobble: float = 0.0) -> Training:
        cell = path / "cells" / f"conv.torch-eager.cpu.s{seed}{key}.json"
        points = list(record.read(cell, record.Cell).curve)
        loss = points[from_epoch - 1].validation["loss"]
        for place in range(from_epoch - 1, len(points)):
            shaken = loss * (1 + wobble * (place % 3))
            points[place] = msgspec.structs.replace(points[place], validation={"loss": shaken, "accuracy": 0.5})
        edit(cell, curve=tuple(points))
        return read(path)[cell.stem]

    head = ".head-as_published"
    dead = still(head, 0, from_epoch=1, wobble=1e-7)
    assert (dead.dead, dead.censored, dead.fate, trainings.died_after(dead)) == (True, True, "dead", 0)
    died = still(head, 1, from_epoch=4)
    assert (died.dead, died.censored, trainings.died_after(died)) == (False, False, 4)
    late = still(head, 2, from_epoch=9)
    assert trainings.died_after(late) is None, "one still epoch shows nothing"
    assert not still(head, 3, from_epoch=1, wobble=1e-4).dead
    assert not still("", 0, from_epoch=1).dead, "logits have a gradient everywhere"
    assert dead.settings == ("head-as_published",)
    assert (dead.name, dead.workload) == ("conv", "conv.head-as_published")


def test_trainings_are_kept_apart_by_what_may_be_compared(book: Path) -> None:
    found = trainings.groups(read(book).values())
    assert list(found) == [("conv", "cpu"), ("conv_only", "cpu")]
    assert {len(group) for group in found.values()} == {6}
