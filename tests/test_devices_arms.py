"""Every engine for real, on two devices that are parts of this machine's CPU: the same training as on one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
import numpy as np
import psutil
import pytest

from bench import derived, launch, record
from bench.implementation import arm, launched
from bench.profiles import PROFILES
from bench.record import Parity

TESTS = Path(__file__).parent
ENGINES = {
    "torch-eager": "2 processes, gloo",
    "keras-jax": "keras.distribution.DataParallel, 2 devices",
    "keras-tensorflow": "MirroredStrategy, 2 replicas",
}
LIMIT_S = 300.0


def process(name: str, devices: int, folder: Path, words: list[str], before: Path | None = None) -> str:
    """Output of a module in the arm's environment, as the suite starts it; `before` stands first on the import path."""
    contestant = arm(name)
    shared = launch.Launch(
        PROFILES["smoke"], folder, threads=max(2, devices), seed=0, device="cpu", most_devices=max(2, devices)
    )
    chosen, _ = shared.environment(contestant, folder / "cache", devices)
    path = os.pathsep.join(map(str, filter(None, (before, TESTS, harness.ROOT))))
    ended = subprocess.run(
        launched([sys.executable, "-P", "-m", *words], contestant, devices),
        env=chosen | {"PYTHONPATH": path},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode in (0, 1), ended.stderr[-4000:]
    return ended.stdout + ended.stderr


def judged(name: str, workload: str, folder: Path, before: Path | None = None, devices: int = 2) -> Parity:
    """The gate's record of the arm on several devices."""
    out, key = folder / "record.json", f"{workload}.devices-{devices}"
    words = ["bench.parity", "--workload", key, "--arm", name, f"--threads={devices}", "--out", str(out)]
    output = process(name, devices, folder, words, before)
    assert out.exists(), output[-4000:]
    return record.read(out, Parity)


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("torch-eager", "conv_gru"),
        ("keras-jax", "conv_gru"),
        ("keras-tensorflow", "conv"),  # whose last batch is short
        pytest.param("keras-tensorflow", "conv_gru", marks=pytest.mark.proof),
        *(
            pytest.param(name, "conv", marks=pytest.mark.proof)
            for name in ("torch-eager", "keras-jax", "torch-compile")
        ),
        *(pytest.param(name, "conv_only", marks=pytest.mark.proof) for name in (*ENGINES, "torch-compile")),
        pytest.param("torch-compile", "conv_gru", marks=pytest.mark.proof),
    ],
)
def test_two_devices_have_the_gradient_the_masks_and_the_metrics_of_one(name, workload, tmp_path) -> None:
    found = judged(name, workload, tmp_path)
    assert found.passed, found.reason
    gradients = [
        check for check in found.checks if check.precision == "float64" and check.quantity.startswith("gradient")
    ]
    assert gradients
    assert {check.bound for check in gradients} == {1e-9}
    held = {check.quantity for check in found.checks}
    assert {"loss", "evaluation loss", "training loss", "predictions in evaluation"} <= held
    if workload == "conv_gru":
        assert any(quantity.endswith("difference between devices") for quantity in held)


@pytest.mark.proof
@pytest.mark.parametrize("name", ENGINES)
def test_four_devices_are_held_to_the_same(name, tmp_path) -> None:
    found = judged(name, "conv_only", tmp_path, devices=4)
    assert found.passed, found.reason


@pytest.mark.parametrize("name", ENGINES)
def test_the_dropout_masks_of_two_devices_are_those_that_one_device_draws(name, tmp_path) -> None:
    found = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        key = "conv_gru" if devices == 1 else "conv_gru.devices-2"
        output = process(name, devices, folder, ["drive_devices", name, key])
        (found[devices],) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert found[2]["parallel"].startswith(ENGINES[name])
    assert found[1]["parallel"] is None
    assert found[1]["masks"] == found[2]["masks"]
    first, second, _ = found[1]["masks"]
    assert first != second, "or nothing was drawn"


@pytest.mark.parametrize("name", ENGINES)
def test_a_local_step_goes_on_from_each_devices_own_gradients_and_leaves_nothing_behind(name, tmp_path) -> None:
    output = process(name, 2, tmp_path, ["drive_local_step", name, "conv_only.devices-2"])
    (found,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    # One step of RMSprop moves a weight by 3e-3, whatever its gradient; in float64 the same sums differ by rounding.
    assert max(found["local"]) < 1e-9
    assert found["apart"] > 1e-4
    assert max(found["together"]) < 1e-9


@pytest.mark.proof
@pytest.mark.parametrize("name", ENGINES)
def test_a_training_on_two_devices_goes_on_in_other_processes_as_if_nothing_had_happened(name, tmp_path) -> None:
    for mode in ("begin", "resume"):
        process(name, 2, tmp_path, ["drive_goes_on", mode, str(tmp_path), name, "conv_gru.devices-2"])
    with np.load(tmp_path / "begin.npz") as whole, np.load(tmp_path / "resume.npz") as resumed:
        assert set(whole) == set(resumed)
        # In float64 the same masks end in the same weights but for rounding; others, as far apart as with none at all.
        assert max(float(np.max(np.abs(whole[each] - resumed[each]))) for each in whole) < 1e-12


@pytest.mark.parametrize(
    "name",
    [
        "keras-tensorflow",
        *(pytest.param(name, marks=pytest.mark.proof) for name in ENGINES if name != "keras-tensorflow"),
    ],
)
def test_an_epoch_that_ends_in_a_short_batch_trains_two_devices_as_one(name, tmp_path) -> None:
    """The gate's epochs have batches of one size."""
    for devices, key in ((1, "conv"), (2, "conv.devices-2")):
        process(name, devices, tmp_path, ["drive_short_batch", str(tmp_path), name, key])
    with (
        np.load(tmp_path / "conv.npz") as one,
        np.load(tmp_path / "conv.devices-2.npz") as two,
        np.load(tmp_path / "start.npz") as start,
    ):
        assert set(one) == set(two) == set(start)
        # RMSprop moves a weight by 1e-3 or more whatever its gradient; in float64 the same sums differ by rounding.
        assert max(float(np.max(np.abs(one[each] - two[each]))) for each in one) < 1e-8
        assert min(float(np.max(np.abs(one[each] - start[each]))) for each in one) > 1e-4


FAULTS = {
    "each replica goes by its own gradients": (
        "keras-tensorflow",
        "impl_keras/backend_tensorflow.py",
        "    exchanging = True\n",
        "    exchanging = False\n",
        "weights after",
    ),
    "one device's samples are trained on twice": (
        "keras-jax",
        "impl_keras/sharded.py",
        "        found: Batch = self._own(*self.arrays, indices)\n",
        "        found: Batch = self._own(*self.arrays, indices[: len(indices) // 2].repeat(2))\n",
        "weights after",
    ),
    "gradients stay on their device": (
        "torch-eager",
        "impl_torch/team.py",
        "        return self._parallel\n",
        "        return forward\n",
        "gradient",
    ),
    "the loss is summed": (
        "torch-eager",
        "impl_torch/session.py",
        "        outputs, loss = self.team.whole(outputs.detach()), self.team.sums(loss.detach()) / self.team.size\n",
        "        outputs, loss = self.team.whole(outputs.detach()), self.team.sums(loss.detach())\n",
        "loss",
    ),
    "each process draws the masks of its own samples": (
        "torch-eager",
        "impl_torch/session.py",
        "self._own(self.model.sample_masks(samples * self.team.size))",
        "self.model.sample_masks(samples)",
        "mask gru.input: difference between devices",
    ),
    "each replica draws the masks of its own samples": (
        "keras-tensorflow",
        "impl_keras/mirrored.py",
        "        masks.share_out(model, _of_whole_batch)\n",
        "",
        "mask gru.input: difference between devices",
    ),
}


@pytest.mark.parametrize("what", [pytest.param(what, marks=pytest.mark.proof) for what in FAULTS])
def test_a_fault_in_how_devices_share_a_batch_turns_the_gate_red(what, tmp_path) -> None:
    name, file, right, wrong, said = FAULTS[what]
    package = file.partition("/")[0]
    copy = tmp_path / "faulty" / package
    copy.mkdir(parents=True)
    for path in (harness.ROOT / package).glob("*.py"):
        text = path.read_text()
        if path.name == Path(file).name:
            assert text.count(right) == 1, "the fault has to be planted anew"
            text = text.replace(right, wrong)
        (copy / path.name).write_text(text)
    found = judged(name, "conv_gru", tmp_path, before=tmp_path / "faulty")
    assert not found.passed
    assert any(check.quantity.startswith(said) for check in found.checks if not check.passed), found.reason


@pytest.mark.proof
def test_a_run_on_two_devices_measures_steps_with_and_without_the_exchange_and_reports_the_speedup(tmp_path) -> None:
    arms = ["--arm", "torch-eager", "--arm", "keras-torch"]
    words = ["--workload", "conv_only", *arms, "--devices", "1,2", "--profile", "smoke", "--data", "synthetic"]
    process = harness.start_real(tmp_path, "run", *words)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    run = harness.only_run(tmp_path)
    found = harness.cells(run)
    two = found["conv_only.torch-eager.cpu.b01.devices-2"]
    assert two.status == "ok", two.reason
    assert two.versions["data parallel"].startswith("2 processes, gloo")
    assert two.threads == 2 * found["conv_only.torch-eager.cpu.b01"].threads
    assert two.peak_memory_bytes > 1.5 * found["conv_only.torch-eager.cpu.b01"].peak_memory_bytes, "of both processes"
    phases = derived.phases(two)
    assert {"first_step", "train_step", derived.LOCAL} <= set(phases)
    hole = found["conv_only.keras-torch.cpu.b01.devices-2"]
    assert (hole.status, hole.reason) == ("hole", arm("keras-torch").single)
    report = (run / "report.md").read_text()
    assert "## Several devices" in report
    assert (run / "figures" / "devices-conv_only-cpu.svg").exists()


def test_a_killed_runner_takes_every_process_of_its_cell_with_it(tmp_path) -> None:
    words = ["--workload", "conv_only.devices-2", "--arm", "torch-eager", "--profile", "smoke", "--data", "synthetic"]
    process = harness.start_real(tmp_path, "run", *words)
    try:
        assert process.stdout is not None
        assert next((line for line in process.stdout if "equal to the reference" in line), None)
        members = wait_for_members(process)
        process.kill()
        assert all(harness.has_ended(member) for member in members)
    finally:
        process.kill()
        process.communicate()


def wait_for_members(process: "subprocess.Popen[str]") -> list[int]:
    """The two processes that train, once both are there."""
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        assert process.poll() is None, "it ended before a cell began"
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            found = [child.pid for child in children if "impl_torch.member" in child.cmdline()]
        if len(found) == 2:
            return found
        time.sleep(0.05)  # between two looks
    raise AssertionError("no cell of two processes was begun")


@pytest.mark.proof
def test_a_member_that_something_kills_is_tried_again_and_named(tmp_path) -> None:
    words = ["--workload", "conv_only.devices-2", "--arm", "torch-eager", "--profile", "smoke", "--data", "synthetic"]
    process = harness.start_real(tmp_path, "run", *words)
    try:
        assert process.stdout is not None
        assert next((line for line in process.stdout if "equal to the reference" in line), None)
        os.kill(wait_for_members(process)[1], signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    tried = [cell for cell in harness.cells(harness.only_run(tmp_path)).values() if cell.tries]
    assert {cell.status for cell in tried} == {"ok"}
    assert any("killed by SIGKILL" in each.reason for cell in tried for each in cell.tries)


WAITS = """
import os, pathlib, select
pathlib.Path("there." + os.environ["RANK"]).touch()
select.select([], [], [])
"""


def test_a_launcher_that_something_ends_is_seen_to_have_been_ended_and_its_members_with_it(tmp_path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    started = subprocess.Popen(
        [sys.executable, "-P", "-m", "impl_torch.launch", "2", "waits"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(harness.ROOT))), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + LIMIT_S
        while len(list(tmp_path.glob("there.*"))) < 2:
            assert time.monotonic() < until_s
            assert started.poll() is None
            time.sleep(0.05)  # between two looks
        members = [child.pid for child in psutil.Process(started.pid).children(recursive=True)]
        started.terminate()
        assert started.wait(LIMIT_S) == -signal.SIGTERM
        assert all(harness.has_ended(member) for member in members)
    finally:
        started.kill()
        started.wait()


FAILS = """
import sys
raise {error}
"""


@pytest.mark.parametrize(("error", "code"), [("SystemExit(2)", 2), ("ValueError('these are its words')", 1)])
def test_members_that_fail_end_the_launcher_as_they_did_without_a_word_of_torchruns(error, code, tmp_path) -> None:
    (tmp_path / "fails.py").write_text(FAILS.format(error=error))
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "impl_torch.launch", "2", "fails"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(harness.ROOT))), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode == code, ended.stderr
    assert ("these are its words" in ended.stderr) == (code == 1)
    assert "ChildFailedError" not in ended.stderr
    assert not list(tmp_path.glob("torchelastic*"))
