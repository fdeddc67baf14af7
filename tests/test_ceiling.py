"""Every framework's own matrix product, and the cell that measures it; beside it the steps of a small batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import harness
import numpy as np
import pytest

from bench import cell
from bench.implementation import arm
from bench.measure import measure_ceiling, measure_small_step

ARMS = ("torch-eager", "keras-tensorflow", "keras-jax", "keras-torch")


@pytest.fixture(scope="module", params=ARMS)
def seen(request, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    chosen = {k: v.format(cache=cache, threads=1) for k, v in arm(request.param).environment.items()}
    ended = subprocess.run(
        [sys.executable, str(harness.ROOT / "tests" / "drive_ceiling.py"), request.param],
        env=os.environ | chosen | {"PYTHONPATH": str(harness.ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


def cell_process(folder: Path, workload: str, arm_name: str, *phases: str) -> list[dict]:
    """What pytest-benchmark wrote of these phases."""
    request = cell.Request(workload, arm_name, out=str(folder), data="synthetic", threads=1, rounds=3)
    done = subprocess.run(
        cell.command(sys.executable, phases, request),
        cwd=folder,
        env=harness.environment(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return cell.measured(folder)["benchmarks"]


def test_the_product_is_that_of_float32_at_full_precision(seen):
    assert seen["type"] == "float32"
    # Sums of 256 products in float32 are off by some 5e-7 of the largest value; with operands cut to the 10 bits of
    # TF32, or the 7 of bfloat16, by 1e-4 and more.
    assert seen["error"] < 5e-6


def test_every_call_multiplies_the_same_operands(seen):
    assert seen["same again"]


def test_the_product_is_computed_inside_the_call(seen):
    # 64 times the arithmetic; a call that returned before it, or left it out, would take as long for both sizes. The
    # smaller one has room for a call's own cost of seven products.
    assert seen["large_s"] > 8 * seen["small_s"]


def test_a_stream_of_bytes_is_moved_inside_the_call_and_comes_back_doubled(seen):
    assert seen["doubled"]
    # 64 times the bytes; a call that left them where they are would take as long for both.
    assert seen["large_stream_s"] > 4 * seen["small_stream_s"]


def test_the_product_keeps_to_the_threads_it_is_given(seen):
    # One thread computes; the one that waits for it may spin now and then. Two that compute would come near 2.
    assert seen["busy cores"] < 1.5


def test_a_gpu_that_is_not_there_is_an_error_and_never_the_cpu_instead(seen):
    assert seen["no gpu"].startswith("RuntimeError: ")


def test_one_framework_multiplies_in_a_process(seen):
    assert seen["other frameworks"] == []


def test_every_stock_arm_names_its_frameworks_product():
    script = "from bench.implementation import arms; print([a.name for a in arms().values() if not a.ceiling])"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=harness.ROOT)
    assert ended.stdout.strip() == "[]"


def test_a_ceiling_cell_times_the_fastest_size_and_opens_no_session(tmp_path):
    (entry,) = cell_process(tmp_path, "ceiling", "fake-1ms", "ceiling")
    streams, chains = entry["extra_info"]["stream_s"], entry["extra_info"]["chain_s"]
    assert {int(moved): len(rounds_s) for moved, rounds_s in streams.items()} == dict.fromkeys(
        measure_ceiling.MOVED_BYTES["cpu"], measure_ceiling.ROUNDS
    )
    assert min(streams["4194304"]) >= 4 * 4_194_304 / 1e12  # the fake's own known speed, a quarter at sixteen times
    assert len(chains) == measure_ceiling.ROUNDS
    extra = entry["extra_info"]
    assert (extra["phase"], extra["steps_per_round"], extra["samples_per_round"]) == ("ceiling", 1, 1)
    # The fake's middle size runs at twice the rate of the next best.
    assert (extra["size"], extra["flops"]) == (1024, 2 * 1024**3)
    assert len(entry["stats"]["data"]) == measure_ceiling.ROUNDS
    assert min(entry["stats"]["data"]) >= 2 * 1024**3 / 4e12
    observed = cell.observed(tmp_path)
    assert observed is not None
    assert observed.versions == {}  # a session would tell


def test_small_steps_have_an_eighth_of_the_samples_and_leave_the_full_batches_staged(tmp_path):
    phases = ("first_step", "train_step", "small_step")
    *_, full, small = cell_process(tmp_path, "conv_only", "fake-1ms", *phases)
    assert [entry["extra_info"]["phase"] for entry in (full, small)] == ["train_step", "small_step"]
    assert full["extra_info"]["samples_per_round"] == 128
    assert small["extra_info"]["samples_per_round"] == 16
    assert small["extra_info"]["steps_per_round"] == 1
    assert len(small["stats"]["data"]) == measure_small_step.ROUNDS
    assert min(small["stats"]["data"]) >= 0.001  # the step's own known time: the clock stood around it
    observed = cell.observed(tmp_path)
    assert observed is not None
    assert observed.versions["staged"] == "128 16 128"


def test_an_arm_that_compiled_for_long_is_spared_another_batch_shape():
    longest_s = measure_small_step.LONGEST_FIRST_STEP_S
    with pytest.raises(pytest.skip.Exception, match="the first step took 16 s"):
        measure_small_step.test_small_step(None, SimpleNamespace(times_s={"step_s": longest_s + 1}))


def test_operations_in_a_row_take_longer_than_as_many_that_do_not_wait_for_each_other():
    operations = 200_000
    factors = np.ones(operations, np.float32)
    made = np.empty_like(factors)
    # At least three cycles each, against a vector of them in one: 24 times in a cache of the core, a few outside it.
    row_s = min(measure_ceiling.rounds_s(measure_ceiling.in_a_row(operations), 9))
    assert row_s > 3 * min(measure_ceiling.rounds_s(lambda: np.multiply(factors, 2, out=made), 9))
    # The same for each however many there are: it is a chain and nothing else.
    longer_s = min(measure_ceiling.rounds_s(measure_ceiling.in_a_row(8 * operations), 9))
    assert 4 < longer_s / row_s < 16


def test_an_arm_without_a_product_is_skipped_with_a_reason():
    subject = SimpleNamespace(arm=SimpleNamespace(name="fake", ceiling=""), request=SimpleNamespace(device="cpu"))
    with pytest.raises(pytest.skip.Exception, match="fake has no matrix product to measure"):
        measure_ceiling.test_ceiling(None, subject)
