"""The timed files themselves: by hand, and what they hand back."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
import pytest

from bench import cell
from bench.measure import subject
from bench.measure.ledger import Ledger

MEASURE = harness.ROOT / "bench" / "measure"


def by_hand(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """What a person types in a checkout."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=harness.ROOT,
        env=harness.environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def cell_process(folder: Path, arm: str, *phases: str, **numbers: float) -> subprocess.CompletedProcess[str]:
    """A cell's process as the runner starts it, on data loaded by itself."""
    request = cell.Request("conv_only", arm, out=str(folder), data="synthetic", threads=1, **numbers)
    more = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        cell.command(sys.executable, phases, request),
        cwd=folder,
        env=harness.environment(folder, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def measured(folder: Path, *phases: str) -> list[dict[str, Any]]:
    """What was measured of these phases, and of no others, in their order.

    Disturbed rounds of `train_step`, measured once more where the machine is busy, come after and are left out.
    """
    found = cell.measured(folder)["benchmarks"]
    names = [entry["extra_info"]["phase"] for entry in found]
    assert tuple(names[: len(phases)]) == phases
    assert names[len(phases) :] in ([], ["train_step"])
    return found[: len(phases)]


def test_a_person_can_run_one_timed_file_directly(tmp_path):
    words = ["--workload", "conv_only", "--arm", "fake-1ms", "--data", "synthetic", "--rounds", "4"]
    done = by_hand(tmp_path, "bench/measure/measure_train_step.py", *words, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_train_step" in done.stdout
    # Of the two timed functions the second measures disturbed rounds once more, and skips where there was none.
    assert re.search(r" (1 passed, 1 skipped|2 passed) in ", done.stdout), done.stdout


def test_without_a_workload_the_message_says_what_to_name(tmp_path):
    done = by_hand(tmp_path, "bench/measure/measure_train_step.py", "-p", "no:cacheprovider")
    assert done.returncode != 0
    assert "name what to measure: --workload NAME --arm NAME" in done.stdout


def test_the_options_of_a_request_say_what_it_holds():
    request = cell.Request("conv", "fake-1ms", head="as_published", steps_per_round=10)
    options = request.options()
    assert {"--workload=conv", "--arm=fake-1ms", "--head=as_published", "--steps-per-round=10"} <= set(options)
    assert not any(option.startswith("--gate") for option in options)


def test_every_phase_has_its_file():
    for phase in cell.PHASES:
        assert (MEASURE / f"measure_{phase}.py").is_file()


def test_converge_times_and_validates_every_epoch_of_the_schedule(tmp_path):
    done = cell_process(tmp_path, "fake-1ms", "converge", epochs=3)
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = cell.measured(tmp_path)["benchmarks"]
    points = cell.curve(tmp_path)
    assert [point.epoch for point in points] == [1, 2, 3]
    assert [point.train_s for point in points] == entry["stats"]["data"]
    assert all(point.validate_s > 0 and point.validation == {"loss": 0.25} for point in points)
    assert (entry["extra_info"]["phase"], entry["extra_info"]["steps_per_round"]) == ("converge", 500)


def test_steps_of_a_round_are_counted_and_the_parts_of_the_first_step_recorded(tmp_path):
    done = cell_process(tmp_path, "fake-1ms", "first_step", "train_step", rounds=4, steps_per_round=5)
    assert done.returncode == 0, done.stdout + done.stderr
    first, steps = measured(tmp_path, "first_step", "train_step")
    assert {"import_s", "open_s", "data_s", "stage_s", "reset_s", "step_s"} <= first["extra_info"].keys()
    inside = ("open_s", "stage_s", "reset_s", "step_s")
    assert sum(first["extra_info"][name] for name in inside) <= first["stats"]["data"][0]
    assert len(steps["stats"]["data"]) == 4
    assert min(steps["stats"]["data"]) >= 5 * 0.001
    assert (steps["extra_info"]["steps_per_round"], steps["extra_info"]["samples_per_round"]) == (5, 640)
    observed = cell.observed(tmp_path)
    assert observed is not None
    assert (observed.failure, observed.threads) == (None, 1)


def test_a_half_written_epoch_of_a_killed_cell_is_left_out(tmp_path):
    whole = b'{"epoch":1,"train":{"loss":1.0},"validation":{"loss":1.0},"train_s":1.0,"validate_s":1.0}\n'
    (tmp_path / cell.CURVE_FILE).write_bytes(whole + whole[:40])
    assert [point.epoch for point in cell.curve(tmp_path)] == [1]
    assert cell.curve(tmp_path / "elsewhere") == ()


def test_peak_memory_is_this_processs_own():
    peak = subject.peak_memory_bytes()
    assert peak is not None
    assert peak > 10_000_000


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_no_number_fails_the_cell(value, monkeypatch):
    monkeypatch.syspath_prepend(str(harness.FAKES))
    from bench import implementation

    implementation.arms.cache_clear()
    made = subject.Subject(cell.Request("conv_only", "fake-1ms"), Ledger(0.0))
    implementation.arms.cache_clear()
    with pytest.raises(subject.DivergedError, match=r"loss of fake-1ms is (nan|inf) in epoch 2"):
        made.check_metrics("in epoch 2", {"loss": value})


def test_a_cell_leaves_epochs_out_when_its_own_step_time_says_they_do_not_fit(tmp_path):
    phases = ("first_step", "train_step", "epoch", "validate")
    # 500 steps of a millisecond and 769 batches of validation take about 0.75 s.
    done = cell_process(tmp_path, "fake-1ms", *phases, rounds=3, epoch_limit_s=0.3)
    assert done.returncode == 0, done.stdout + done.stderr
    measured(tmp_path, "first_step", "train_step")
    observed = cell.observed(tmp_path)
    assert observed is not None
    assert observed.skipped == "epoch and validate take about 1 s, 0 s are left for them"
    assert cell.curve(tmp_path) == ()


def test_an_arm_that_forgets_to_synchronise_fails_the_clocks_self_test(tmp_path):
    done = cell_process(tmp_path, "fake-forgets", "first_step", "train_step", "clock", rounds=4)
    assert done.returncode != 0
    observed = cell.observed(tmp_path)
    assert observed is not None
    assert observed.failure is not None
    assert "clock: synchronise of fake-forgets returns before the work is done: reading the weights" in observed.failure
    # Without the test its times would be believed: steps of 10 ms that seem to take less than one.
    steps = cell.measured(tmp_path)["benchmarks"][-1]["stats"]["data"]
    assert max(steps) < 0.001


@pytest.mark.parametrize("arm", ["fake-device", "fake-1ms", "fake-10ms"])
def test_an_arm_that_waits_passes_the_clocks_self_test(tmp_path, arm):
    done = cell_process(tmp_path, arm, "first_step", "train_step", "clock", rounds=4)
    assert done.returncode == 0, done.stdout + done.stderr
