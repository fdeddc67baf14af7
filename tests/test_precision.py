"""A precision is a setting: it stands in the key, nothing is measured in it by mistake, and it is really on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import catalogue, contest
from bench.cli import main
from bench.contest import Options
from bench.errors import UsageError
from bench.profiles import PROFILES

TESTS = Path(__file__).parent


def entered(**options: object) -> list[str]:
    return list(contest.contest(Options(**options), PROFILES["quick"]).workloads)


def test_a_precision_stands_in_the_key_of_every_workload_of_the_run():
    assert entered(workloads=("conv", "conv_gru"), precision="bf16") == [
        "conv.precision-bf16",
        "conv_gru.precision-bf16",
    ]
    assert entered(workloads=("conv",), precision="float32") == ["conv"]
    assert entered(workloads=("conv", "conv.precision-bf16")) == ["conv", "conv.precision-bf16"]


def test_another_precision_is_another_result_and_the_pinned_one_is_that_of_results_that_exist():
    digests = {catalogue.load(f"conv{more}").digest() for more in ("", ".precision-bf16", ".precision-tf32")}
    assert len(digests) == 3
    assert catalogue.load("conv.precision-float32").digest() == catalogue.load("conv").digest()


def test_float64_is_no_workloads():
    with pytest.raises(UsageError, match="no setting 'precision-float64'"):
        catalogue.load("conv.precision-float64")


def test_an_lstm_has_no_bf16_that_all_frameworks_compute():
    with pytest.raises(UsageError, match=r"'lstm' has an LSTM, which torch.autocast computes in float16"):
        catalogue.load("lstm.precision-bf16")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--precision", "tf32"], "--precision tf32: a CPU has none; take --device gpu, or --precision bf16"),
        (
            ["--precision", "bf16", "--arm", "torch-eager", "--arm", "torch-tuned"],
            "arm torch-tuned computes in float32",
        ),
        (["--workload", "conv.precision-bf16", "--arm", "keras-tuned"], "arm keras-tuned computes in float32 only"),
    ],
)
def test_a_precision_that_a_device_or_an_arm_has_not_is_one_line_and_2(words, said, capsys):
    assert main(["plan", *words]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


BACKENDS = {"keras-torch": "torch", "keras-tensorflow": "tensorflow", "keras-jax": "jax"}


# Compiling in bf16 takes 20 s.
@pytest.mark.parametrize("name", ["torch-eager", pytest.param("torch-compile", marks=pytest.mark.proof), *BACKENDS])
def test_an_arm_in_bf16_computes_the_workload_rounded_to_bf16(name):
    workloads = ["conv"] if name == "torch-compile" else ["conv", "conv_gru"]  # which compiles one for half a minute
    ended = subprocess.run(
        [sys.executable, str(TESTS / "drive_precision.py"), name, *workloads],
        env=os.environ
        | {
            "KERAS_BACKEND": BACKENDS.get(name, "torch"),
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")]),
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    rows = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert {row["workload"]: row["failed"] for row in rows} == {workload: [] for workload in workloads}
    for row in rows:
        # float32 errs by 3e-6 at most: an arm that left the precision where it was would show that.
        assert row["predictions"] > 1e-4, row["workload"]
        assert row["weights kept"], row["workload"]  # in float32
