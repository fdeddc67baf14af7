"""Sweeps: workloads with other batches and longer samples, how they are asked for, and what the report says of them."""

import math
from pathlib import Path

import pytest
from harness import FAKES
from make_run import edit, make_run
from read_report import section

from bench import catalogue, contest, implementation, parity, record
from bench.cli import main
from bench.contest import Options
from bench.errors import UsageError
from bench.profiles import PROFILES
from bench.report import build, scaling


@pytest.fixture(autouse=True)
def fake_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FAKES))
    implementation.arms.cache_clear()
    yield
    implementation.arms.cache_clear()


@pytest.mark.parametrize(
    ("key", "batch", "steps", "per_epoch"),
    [
        ("conv_gru.batch-32", 32, 240, 500),
        ("conv_gru.timesteps-480", 128, 480, 500),
        ("conv.batch-256", 256, 500, 79),
        ("conv.head-as_published.batch-64.timesteps-250", 64, 250, 313),
    ],
)
def test_a_key_names_the_workload_with_its_batch_and_its_time_steps(key, batch, steps, per_epoch) -> None:
    spec = catalogue.load(key)
    assert (spec.batch_size, spec.data.time_steps, spec.steps_per_epoch) == (batch, steps, per_epoch)
    assert catalogue.key(spec) == key
    assert spec.digest() != catalogue.load(spec.name).digest()
    assert spec.published is None  # its figures are of another batch or length


def test_a_value_that_is_the_specs_own_changes_nothing() -> None:
    assert catalogue.load("conv.batch-128.timesteps-500") == catalogue.load("conv")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("conv.batch-0", "no setting 'batch-0'"),
        ("conv.batch-032", "no setting 'batch-032'"),
        ("conv.batch-", "no setting 'batch-'"),
        ("conv.timesteps-six", "batch-N, timesteps-N"),
        ("conv.timesteps-6", "--workload conv.timesteps-6: conv1 of width 7 needs at least 7 time steps"),
        ("conv_gru.timesteps-90000", "--workload conv_gru.timesteps-90000: Series has lookback 270000"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words(key, said) -> None:
    with pytest.raises(UsageError) as refused:
        catalogue.load(key)
    assert said in str(refused.value)


def entered(**options) -> list[str]:
    return list(contest.contest(Options(**options), PROFILES["quick"]).workloads)


def test_a_sweep_enters_every_workload_at_every_value() -> None:
    sweeps = ("batch", (64, 128, 256)), ("timesteps", (240, 480))
    assert entered(workloads=("conv_gru",), sweeps=sweeps) == [
        "conv_gru.batch-64",
        "conv_gru",
        "conv_gru.batch-256",
        "conv_gru.timesteps-480",
    ]


@pytest.mark.parametrize("steps", [60, 120, 240, 480])
def test_parity_shortens_a_recurrence_of_any_length_to_no_less_than_that_of_the_spec(steps) -> None:
    layers = {
        row.name: row.output_shape for row in parity.shortened(catalogue.load(f"conv_gru.timesteps-{steps}")).summary()
    }
    assert layers["conv2"][0] >= 10  # the recurrence's: as many as of the spec's own 240 time steps


def test_a_sweep_without_the_specs_value_leaves_the_spec_out() -> None:
    assert entered(workloads=("conv_only",), sweeps=(("batch", (32, 64)),)) == [
        "conv_only.batch-32",
        "conv_only.batch-64",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "batch"], "is not a sweep"),
        (["--sweep", "batch=32..100"], "doubling 32 gives 32, 64, 128; end it at one of these"),
        (["--sweep", "batch=64..32"], "doubling 64 gives 64"),
        (["--sweep", "seed=1..4"], "is not a sweep"),
        (["--sweep", "batch=32..64", "--sweep", "batch=32..128"], "--sweep batch: named twice"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_line_and_2(words, said, capsys) -> None:
    assert main(["plan", "--workload", "conv_only", *words]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


EXPONENT = {"torch-eager": 1.0, "keras-jax": 0.5}


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    """A run of one workload at three batch sizes, the step times of its arms exact powers of them."""
    keys = ["conv_only.batch-64", "conv_only", "conv_only.batch-256"]
    folder = make_run(tmp_path / "run", workloads=keys, arms=tuple(EXPONENT), blocks=3)
    for path in (folder / "cells").glob("*.json"):
        cell = record.read(path, record.Cell)
        step_s = 1e-3 * catalogue.load(cell.workload).batch_size ** EXPONENT[cell.arm]
        for entry in cell.pytest_benchmark["benchmarks"]:
            if entry["extra_info"]["phase"] == "train_step":
                steps = entry["extra_info"]["steps_per_round"]
                entry["stats"]["data"] = [step_s * steps] * len(entry["stats"]["data"])
        edit(path, pytest_benchmark=cell.pytest_benchmark)
    build(folder)
    return folder


def test_the_report_shows_step_time_by_batch_size_with_the_growth_of_every_arm(swept: Path) -> None:
    text = section((swept / "report.md").read_text(), "### conv_only on cpu: samples in a batch")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ") and "[" in line}
    assert "1.00 [1.00, 1.00]" in rows["torch-eager"]
    assert "0.50 [0.50, 0.50]" in rows["keras-jax"]
    assert (swept / "figures" / "scaling-batch-conv_only-cpu.svg").exists()
    assert (swept / "figures" / "scaling-batch-conv_only-cpu.csv").exists()


def test_a_run_without_a_sweep_says_nothing_of_scaling(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=["conv_only", "conv"], blocks=2)
    build(folder)
    assert "## Scaling" not in (folder / "report.md").read_text()


def test_growth_is_the_exponent_with_its_interval() -> None:
    times = {64: {1: 1.0, 2: 1.1}, 256: {1: 4.0, 2: 4.4}}
    assert scaling.growth(times, 64, 256) == pytest.approx((1.0, 1.0, 1.0))
    one = scaling.growth({64: {1: 1.0}, 256: {1: 2.0}}, 64, 256)
    assert one is not None
    assert one[0] == pytest.approx(0.5)
    assert (one[1], one[2]) == (-math.inf, math.inf)
    assert scaling.growth({64: {1: 1.0}, 256: {2: 2.0}}, 64, 256) is None


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ("conv_only.batch-131072", "98,559 validation samples of 240 time steps, not one batch of 131,072"),
        ("conv_only.timesteps-20000", "0 validation samples of 20,000 time steps, not one batch of 128"),
    ],
)
def test_batches_and_lengths_that_the_data_does_not_hold_are_one_line_and_2(
    workload: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--profile", "smoke", "--data", "synthetic", "--workload", workload, "--out", str(tmp_path / "out")]
    assert main(words) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))
