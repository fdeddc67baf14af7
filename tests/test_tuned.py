"""The tuned arms: equal to the reference in every shape, and the gate sees what can go wrong in code like theirs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from odd_shapes import SHAPES

from bench.implementation import Device, arm

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TUNED = ("torch-tuned", "keras-tuned")


def run(
    script: Path,
    contestant: str,
    words: list[str],
    cache: Path,
    *,
    before: Path | None = None,
    device: Device = "cpu",
) -> list[dict]:
    """What a script prints in a process with the arm's environment; `before` stands first on the import path."""
    declared = arm(contestant, device).environment
    chosen = {name: value.format(cache=cache, threads=1) for name, value in declared.items()}
    path = os.pathsep.join(map(str, filter(None, (before, ROOT, os.environ.get("PYTHONPATH")))))
    ended = subprocess.run(
        [sys.executable, str(script), *words],
        env=os.environ | chosen | {"PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.proof  # 47 s for keras-tuned on two cores, 26 s for torch-tuned
@pytest.mark.parametrize("name", TUNED)
def test_every_shape_the_spec_allows_is_right(cache: Path, name: str) -> None:
    found = run(TESTS / "drive_shapes.py", name, [name], cache)
    assert {row["shape"]: row["failed"] for row in found if row["failed"]} == {}
    assert len(found) == len(SHAPES)
    assert all(row["checks"] > 8 for row in found)


@pytest.mark.proof  # a minute
def test_the_kernels_for_cuda_are_right_in_every_shape_in_tritons_interpreter(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found = run(TESTS / "drive_shapes.py", "torch-tuned", ["triton"], cache)
    assert {row["shape"]: row["failed"] for row in found if row["failed"]} == {}
    assert len(found) == len(SHAPES)


@pytest.mark.proof
def test_the_form_for_cuda_of_keras_is_right_in_every_shape_on_a_cpu(cache: Path) -> None:
    found = run(TESTS / "drive_shapes.py", "keras-tuned", ["keras-tuned", "gpu"], cache, device="gpu")
    assert {row["shape"]: row["failed"] for row in found if row["failed"]} == {}
    assert len(found) == len(SHAPES)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_steps_that_go_into_one_call_draw_masks_of_their_own(cache: Path, device: Device) -> None:
    (found,) = run(TESTS / "drive_loop.py", "keras-tuned", [device], cache, device=device)
    # In float64 the same draws end in the same weights but for rounding; others, as far apart as with none at all.
    assert found["calls apart"] < 1e-12
    assert found["masks apart"] > 1e-4


def test_replayed_steps_train_as_steps_do_and_a_recording_counts_for_nothing(cache: Path) -> None:
    found = run(TESTS / "drive_graphed.py", "torch-eager", [], cache)
    assert len(found) == 5
    assert [row for row in found if not all((row["metrics"], row["weights"], row["masks"], row["moved"]))] == []


def test_a_build_that_was_killed_holds_up_nobody(cache: Path) -> None:
    extensions = cache / "extensions"
    left = extensions / "bench_native" / "lock"  # PyTorch's, which the next build would wait for without end
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    subprocess.run(
        [sys.executable, "-c", "from impl_torch import native; native.build()"],
        env=os.environ | {"TORCH_EXTENSIONS_DIR": str(extensions), "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=180,  # a build takes a quarter of that on two busy cores
    )
    assert not left.exists()


@pytest.mark.parametrize(
    "workloads",
    [
        ("conv", "conv_only", "conv_gru"),
        pytest.param(("lstm", "gru", "conv_dilated"), marks=pytest.mark.proof, id="comparators"),
    ],
)
@pytest.mark.parametrize("name", TUNED)
def test_every_workload_passes_every_check_of_the_gate(cache: Path, name: str, workloads: tuple[str, ...]) -> None:
    found = run(TESTS / "faults" / "judge_small.py", name, [f"{each}:{name}" for each in workloads], cache)
    assert {row["pair"]: failed for row in found if (failed := [c for c in row["checks"] if not c[4]])} == {}
    assert len(found) == len(workloads)


@dataclass(frozen=True)
class Fault:
    """A change of an arm's source, as it comes about by mistake."""

    arm: str
    workload: str
    file: str
    old: str
    new: str
    quantity: str
    """That the gate must name among those that fail."""


FAULTS = {
    "torch: gates of the GRU in another order": Fault(
        "torch-tuned",
        "conv_gru",
        "impl_torch/native/recurrence.h",
        "*a_z = at_step<S>(a, 0, t, b), *a_r = at_step<S>(a, 1, t, b)",
        "*a_z = at_step<S>(a, 1, t, b), *a_r = at_step<S>(a, 0, t, b)",
        "float64 predictions in training",
    ),
    "torch: one recurrent mask for all gates": Fault(
        "torch-tuned",
        "conv_gru",
        "impl_torch/native/recurrence.h",
        "values<S>(m) + (g * samples + b) * units;",
        "values<S>(m) + b * units;",
        "float64 predictions in training",
    ),
    "torch: the carried state masked": Fault(
        "torch-tuned",
        "conv_gru",
        "impl_torch/native/recurrence.h",
        "h[n] = z[n] * h[n] +",
        "h[n] = z[n] * h[n] * values<S>(m)[b * units + n] +",
        "float64 predictions in training",
    ),
    "torch: of a token that stands twice one place only": Fault(
        "torch-tuned",
        "conv",
        "impl_torch/native/table.h",
        "add(sum, rows.data() + t * LINE<S>, count);",
        "std::copy_n(rows.data() + t * LINE<S>, count, sum);",
        "float64 gradient embedding.table",
    ),
    "keras: gates of the GRU in another order": Fault(
        "keras-tuned",
        "conv_gru",
        "impl_keras/forms_tensorflow.py",
        "x_z, x_r, x_h = tf.unstack(",
        "x_r, x_z, x_h = tf.unstack(",
        "float64 predictions in training",
    ),
    "keras: one recurrent mask for all gates": Fault(
        "keras-tuned",
        "conv_gru",
        "impl_keras/forms_tensorflow.py",
        "m_z, m_r, m_h = tf.unstack(masks)",
        "m_z = m_r = m_h = masks[0]",
        "float64 predictions in training",
    ),
    "keras: the carried state masked": Fault(
        "keras-tuned",
        "conv_gru",
        "impl_keras/forms_tensorflow.py",
        "return c + z * (h - c),",
        "return c + z * (h * m_z - c),",
        "float64 predictions in training",
    ),
    "keras: of a token that stands twice one place only": Fault(
        "keras-tuned",
        "conv",
        "impl_keras/forms_tensorflow.py",
        "tf.math.unsorted_segment_sum(flat, tf.reshape(each, (-1,)), most)",
        "tf.tensor_scatter_nd_update(tf.zeros((most, flat.shape[1]), flat.dtype), tf.reshape(each, (-1, 1)), flat)",
        "float64 gradient embedding.table",
    ),
}
FAULTS_OF_GRADIENTS = {
    "torch: the way back past the state's mask": Fault(
        "torch-tuned",
        "conv_gru",
        "impl_torch/native/recurrence.h",
        "dh[n] += m_z[n] * s_z[n] +",
        "dh[n] += s_z[n] +",
        "float64 gradient gru.recurrent_kernel",
    ),
    "torch: every maximum at its first time step": Fault(
        "torch-tuned",
        "conv",
        "impl_torch/native/convolution.h",
        "where[f] = larger ? int(j) : where[f];",
        "where[f] = 0;",
        "float64 gradient conv1.kernel",
    ),
    "torch: epsilon outside the root": Fault(
        "torch-tuned",
        "conv_only",
        "impl_torch/native/rmsprop.h",
        "(std::sqrt(of_v[n] + inside) + outside)",
        "(std::sqrt(of_v[n]) + inside)",
        "float64 weights after 20 steps, conv1.kernel",
    ),
    "keras: the way back past the state's mask": Fault(
        "keras-tuned",
        "conv_gru",
        "impl_keras/forms_tensorflow.py",
        "through = m_z * tf.matmul(",
        "through = tf.matmul(",
        "float64 gradient gru.recurrent_kernel",
    ),
}
"""What changes no prediction: it shows in gradients alone, or after steps."""


BESIDE = {
    *FAULTS_OF_GRADIENTS,
    *(f"keras: {what}" for what in ("one recurrent mask for all gates", "the carried state masked")),
    "keras: gates of the GRU in another order",
    "keras: of a token that stands twice one place only",
    *(f"torch: {what}" for what in ("one recurrent mask for all gates", "the carried state masked")),
    "torch: of a token that stands twice one place only",
}
"""With the proofs: twenty seconds each."""


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[pytest.mark.proof] * (what in BESIDE)) for what in FAULTS | FAULTS_OF_GRADIENTS],
)
def test_a_fault_in_the_source_of_a_tuned_arm_turns_the_gate_red(tmp_path: Path, what: str) -> None:
    fault = (FAULTS | FAULTS_OF_GRADIENTS)[what]
    package = Path(fault.file).parts[0]
    shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / fault.file).read_text()
    assert source.count(fault.old) == 1
    (tmp_path / fault.file).write_text(source.replace(fault.old, fault.new))
    pair = f"{fault.workload}:{fault.arm}"
    (found,) = run(TESTS / "faults" / "judge_small.py", fault.arm, [pair], tmp_path, before=tmp_path)
    failed = {f"{precision} {quantity}" for precision, quantity, *_, passed in found["checks"] if not passed}
    assert fault.quantity in failed
