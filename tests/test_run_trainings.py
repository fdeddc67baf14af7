"""Runs of whole trainings, over framework-free arms: several seeds, a part at a time, killed and taken up again."""

import os
import signal
from pathlib import Path

import harness
import numpy as np
import pytest

from bench import catalogue, weights
from bench.record import STARTS, Cell

BROKEN, SERIES = "conv.head-as_published", "conv_only"
SEEDS = (4, 1)
WORDS = [*harness.grid("fake-learns", profile="book", workloads=(SERIES, BROKEN)), "--seed", "4", "--seed", "1"]
STUDY = "conv.fake-learns.cpu.starts.head-as_published"


def resumed(folder: Path, *words: str) -> str:
    """Output of taking up the folder's one run, which must go well."""
    code, output = harness.bench(folder, "run", "--resume", harness.only_run(folder).name, *words)
    assert code == 0, output
    return output


def learned(cell: Cell) -> list[tuple]:
    """The curve without its times."""
    return [(point.epoch, point.train, point.validation) for point in cell.curve]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, str]:
    """The folder and output of a run that nobody disturbs: three seeds of an arm that learns and of two that fail."""
    folder = tmp_path_factory.mktemp("undisturbed")
    words = harness.grid("fake-learns", "fake-nan-loss", "fake-raises", profile="book", workloads=(SERIES,))
    code, output = harness.bench(folder, "run", *words, "--seed", "4", "--seed", "1", "--seed", "2")
    assert code == 1, output
    return harness.only_run(folder), output


@pytest.fixture(scope="module")
def alone(undisturbed) -> Cell:
    """The training of seed 4 in that run."""
    return harness.cells(undisturbed[0])["conv_only.fake-learns.cpu.s4"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a run whose runner was killed with SIGKILL in its first training, and the checkpoints it left."""
    folder = tmp_path_factory.mktemp("killed")
    fifo = folder / "fake-learns.fifo"
    os.mkfifo(fifo)
    process = harness.start(folder, "run", *WORDS)
    training = int(fifo.read_text())  # waits until it is inside its third epoch
    fifo.unlink()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert harness.has_ended(training)
    return folder, checkpoints(folder)


def checkpoints(folder: Path) -> list[str]:
    """Names of those that a run keeps among its working files."""
    work = folder.parent / "bench-cache" / "runs" / harness.only_run(folder).name
    return [path.name for path in work.glob("checkpoints/*")]


@pytest.fixture(scope="module")
def part(killed) -> tuple[Path, str, dict[str, Cell], list[str]]:
    """That run after the killed training was asked for: the folder, the output, the cells and the checkpoints."""
    folder, _ = killed
    output = resumed(folder, "--workload", SERIES, "--arm", "fake-learns", "--seed", "4")
    return folder, output, harness.cells(harness.only_run(folder)), checkpoints(folder)


def test_a_training_whose_runner_was_killed_goes_on_from_its_checkpoint_to_the_same_curve(alone, killed, part):
    assert killed[1] == ["conv_only.fake-learns.cpu.s4.npz"]
    cell = part[2]["conv_only.fake-learns.cpu.s4"]
    assert cell.resumed == (2,)
    assert alone.resumed == ()
    assert learned(cell) == learned(alone)
    assert (cell.tested.epoch, cell.tested.metrics) == (alone.tested.epoch, alone.tested.metrics)
    assert len({loss["loss"] for _, loss, _ in learned(cell)}) == 20, "a training that stands still shows nothing"


def test_the_checkpoint_goes_once_the_trainings_record_is_there(part):
    assert part[3] == []


def test_a_part_that_is_asked_for_is_all_that_is_measured_and_the_run_stays_open(part):
    folder, output, cells, _ = part
    assert set(cells) == {"conv_only.fake-learns.cpu.s4"}
    assert "0 of 5 cells are there, measuring 1 of the others" in output
    assert "measured what was asked for: 4 planned cells are still missing" in output
    assert "[1/5] conv_only.fake-learns.cpu.s4" in output
    assert (harness.only_run(folder) / "report.md").is_file()


def test_an_option_beside_those_of_a_part_is_refused(part):
    run = harness.only_run(part[0]).name
    code, output = harness.bench(part[0], "run", "--resume", run, "--seed", "4", "--profile", "smoke")
    assert code == 2
    assert "has its own options; only --workload, --arm and --seed may be added" in output


@pytest.fixture(scope="module")
def rest(part) -> tuple[Path, bytes, str]:
    """That run filled in: the folder, the bytes of the first cell before, and the output."""
    folder = part[0]
    first = (harness.only_run(folder) / "cells" / "conv_only.fake-learns.cpu.s4.json").read_bytes()
    assert harness.stored(harness.only_run(folder)).finished is None
    return folder, first, resumed(folder)


def test_the_rest_is_filled_in_and_what_was_measured_stays(rest):
    folder, first, output = rest
    run = harness.only_run(folder)
    stored, cells = harness.stored(run), harness.cells(run)
    assert "measuring the others" in output
    assert stored.finished is not None
    assert stored.ended_because == "all planned cells measured"
    assert {cell.id for cell in stored.plan} == set(cells)
    assert {cell.status for cell in cells.values()} == {"ok"}
    assert (run / "cells" / "conv_only.fake-learns.cpu.s4.json").read_bytes() == first
    for seed in SEEDS:
        assert (cells[f"conv_only.fake-learns.cpu.s{seed}"].seed, seed) == (seed, seed)
    curves = [learned(cells[f"conv_only.fake-learns.cpu.s{seed}"]) for seed in SEEDS]
    assert curves[0] != curves[1]
    assert not (folder.parent / "bench-cache" / "runs" / run.name).exists()


def planted() -> dict[int, int]:
    """Of every seed studied, how many of the 20,000 training samples have an output in (0, 1), as `fake-learns` says.

    156 batches of 128 and one of 32, each spread evenly over a tenth from where its seed puts it.
    """
    spec = catalogue.load(BROKEN)
    levels = {seed: 2 * weights.initial_weights(spec, seed)["dense.kernel"].sum() for seed in range(50)}
    spread = {size: np.arange(size) * 0.1 / size for size in (128, 32)}
    live = {
        size: {seed: int(np.sum((level + values > 0) & (level + values < 1))) for seed, level in levels.items()}
        for size, values in spread.items()
    }
    return {seed: 156 * live[128][seed] + live[32][seed] for seed in levels}


def test_the_study_of_dead_starts_counts_what_was_planted_in_every_seed(rest):
    starts = harness.cells(harness.only_run(rest[0]))[STUDY].starts
    found = {start.seed: start.live for start in starts if start.initialiser == "shared"}
    assert found == planted()
    assert {start.samples for start in starts} == {20_000}
    assert [start.seed for start in starts if start.initialiser == "Fake"] == list(range(50))
    assert len(starts) == 100


def test_the_first_seeds_that_are_dead_partly_live_and_live_are_trained(rest):
    live = planted()
    dead, partly, whole = (
        [seed for seed in live if state(live[seed])]
        for state in (lambda count: count == 0, lambda count: 0 < count < 20_000, lambda count: count == 20_000)
    )
    chosen = {*dead[:2], *partly[:5], *whole[:1]}
    assert len(chosen - set(SEEDS)) > 2, "the seeds are trained anyway, which shows nothing"
    run = harness.stored(harness.only_run(rest[0]))
    trained = [cell for cell in run.plan if cell.workload == BROKEN and STARTS not in cell.phases]
    assert sorted(cell.seed for cell in trained) == sorted(chosen | set(SEEDS))
    assert len({cell.block for cell in trained}) == len(trained), "a block for each seed"
    (note,) = [note for note in run.notes if "seeds chosen" in note]
    assert note == (
        f"{BROKEN}: seeds chosen to be trained by fake-learns, dead: {' '.join(map(str, dead[:2]))}, "
        f"partly live: {' '.join(map(str, partly[:5]))}, live: {whole[0]}"
    )


def test_a_training_of_a_chosen_seed_starts_from_that_seeds_weights(rest):
    cells = harness.cells(harness.only_run(rest[0]))
    chosen = [cell for cell in cells.values() if cell.workload == BROKEN and cell.curve]
    first = {cell.seed: cell.curve[0].validation["loss"] for cell in chosen}
    assert len(set(first.values())) == len(first), "two seeds with one curve"


def test_a_diverged_training_stays_in_and_is_no_strike_but_a_failing_arm_is_given_up(undisturbed):
    run, output = undisturbed
    cells = harness.cells(run)
    diverged = {cell.seed: cell for cell in cells.values() if cell.arm == "fake-nan-loss"}
    assert set(diverged) == {4, 1, 2}
    assert all((cell.status, cell.diverged) == ("failed", True) for cell in diverged.values())
    assert {cell.reason for cell in diverged.values()} == {"converge: loss of fake-nan-loss is nan in epoch 1"}
    failed = [(cell.seed, cell.diverged) for cell in cells.values() if cell.arm == "fake-raises"]
    assert sorted(failed) == [(1, False), (4, False)]
    assert "fake-raises is not tried on conv_only after block 2: 2 of its cells failed in a row" in output
    assert harness.stored(run).ended_because == "all planned cells measured"
