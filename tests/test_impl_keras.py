"""Keras on each of its backends, one process a backend: equal to the reference, on every path, and nothing silent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import impl_keras
from bench.catalogue import load
from bench.implementation import arm

TESTS = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")
COMPARATORS = ("lstm", "gru", "conv_dilated")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def seen(backend, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    chosen = {k: v.format(cache=cache, threads=1) for k, v in arm(f"keras-{backend}").environment.items()}
    paths = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        # Keras' own warnings are errors here: none may come of what this project does
        [sys.executable, "-W", "error::UserWarning:keras", str(TESTS / "drive_keras.py"), backend],
        env=os.environ | chosen | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert "Warning" not in ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["conv", "conv_only", "conv_gru"])
def test_a_workload_passes_every_float64_check_of_the_gate(seen, name):
    checks = seen["parity"][name]
    assert [check for check in checks if not check[4]] == []
    assert len(checks) > 20


@pytest.mark.parametrize(
    ("variant", "of"),
    {"as_published": "conv", "hard gate": "conv_gru", **{name: name for name in COMPARATORS}}.items(),
)
def test_loss_gradients_and_metrics_equal_the_reference_in_float64(seen, variant, of):
    checks = seen[f"parity {variant}"]
    assert [check for check in checks if not check[4]] == []
    expected = {"predictions", "loss", "evaluation loss", *(f"gradient {name}" for name in load(of).weights())}
    assert expected <= {what for _, what, *_ in checks}


def test_the_books_optimizer_trains_as_the_reference_does(seen):
    checks = seen["parity book"]
    assert [check for check in checks if not check[4]] == []
    assert "weights after 20 steps, embedding.table" in {check[1] for check in checks}


@pytest.mark.parametrize("name", COMPARATORS)
def test_the_published_programs_data_path_trains_a_comparator_as_the_reference_does(backend, seen, name):
    if backend != arm("keras-published").framework:
        assert seen["parity published"] == {}  # the arm runs on one backend only
        return
    checks = seen["parity published"][name]
    assert [check for check in checks if not check[4]] == []
    assert "weights after an epoch, dense.kernel" in {what for _, what, *_ in checks}


def test_no_epoch_and_no_evaluation_can_wait_for_the_tuner_of_tf_data(backend, seen):
    # It shows in some epochs of five seconds and more only, as a wait of up to as long again after the last step.
    arms = ("keras-tensorflow", "keras-published") if backend == "tensorflow" else ()
    assert seen["tuned pipelines"] == {name: [False] * 4 for name in arms}


def test_train_step_fit_and_evaluation_in_any_order_train_one_and_the_same_model(seen):
    # float32: 20 updates of 1e-3 / sqrt(0.1) at most each; a lost step would show as 1e-3
    assert seen["mixed paths"] < 1e-4


def test_masks_are_the_frameworks_own_until_given_ones_replace_them(seen):
    masks = seen["masks"]
    assert [check for check in masks["sampler"] if not check[4]] == []
    assert masks["same seed"]
    assert not masks["other seed"]
    assert not masks["next draw"]
    assert not masks["after given ones"]
    assert masks["given are used"] < 1e-6  # 1/(1-p) rounded to float32
    assert masks["predictions"] < 1e-5  # float32 sums in another order


def test_compiled_steps_follow_the_masks_given_last(seen):
    drawn_to_given, same, given_to_other = seen["steps follow masks"]
    # the first step moves a weight by up to lr / sqrt(1 - rho) = 3e-3; under equal masks it is the same arithmetic
    assert drawn_to_given > 1e-5
    assert same < 1e-6
    assert given_to_other > 1e-5


def test_the_embedding_gradient_is_summed_per_word_before_it_is_squared(backend, seen):
    if backend != "tensorflow":
        assert seen["per occurrence"] == {}  # the other backends hand a dense gradient over; the gate holds it
        return
    # 20 updates move a weight by some 1e-3. Dense: float32 rounding of that, carried along. As Keras has it, squared
    # for each occurrence of a word by itself: off by a good part of the whole way.
    assert seen["per occurrence"]["True"] < 1e-5
    assert seen["per occurrence"]["False"] > 1e-4


def test_a_batch_against_a_batch_of_one_column_raises_in_every_loss_and_metric(seen):
    assert len(seen["shapes that differ"]) == 10
    for error in seen["shapes that differ"].values():
        assert error.startswith("ValueError: "), error
        assert "must have one shape" in error


def test_a_gpu_that_is_not_there_is_an_error_and_never_the_cpu_instead(seen):
    assert seen["no gpu"].startswith("RuntimeError: ")


def test_another_backend_than_the_arms_own_is_an_error_that_names_the_variable_to_set(seen):
    assert seen["wrong backend"].startswith("RuntimeError: ")
    assert "KERAS_BACKEND=" in seen["wrong backend"]


def test_masks_for_a_model_that_takes_none_are_an_error(seen):
    assert seen["wrong masks"].startswith("ValueError: masks ['gru.input']")


def test_versions_tell_what_is_in_force(backend, seen):
    versions = seen["versions"]
    assert versions["keras backend"] == backend
    assert versions["floatx"] == "float32"
    assert versions["jit_compile"] == str(backend == "jax")  # Keras' "auto" on a machine without a GPU
    threads = {"tensorflow": "intra-op threads", "jax": "XLA threads", "torch": "torch threads"}[backend]
    assert versions[threads] == "1"


def test_keras_own_type_table_is_changed_for_float64_sessions_only(backend, seen):
    own = "float64" if backend == "tensorflow" else "float32"
    assert seen["table in float32"] == own
    assert seen["float32 after float64"] == {"session": "float32", "table": own}


def test_one_framework_computes_in_a_process(seen):
    assert seen["other frameworks imported"] == []


def test_declaring_the_arms_imports_no_framework():
    code = "import sys, impl_keras; print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=TESTS.parent)
    assert ended.stdout.strip() == "set()"
    tuned = ["keras-tuned"] * 2  # on a CPU, on CUDA
    assert [a.name for a in impl_keras.ARMS] == [*(f"keras-{name}" for name in BACKENDS), "keras-published", *tuned]


def test_keras_on_torch_computes_on_the_device_it_was_asked_for_wherever_keras_itself_would():
    # As on a machine whose default device is another one: the GPU, where there is one.
    code = (
        "from impl_keras import backend_torch; from keras.src.backend.torch.core import get_device; "
        "backend_torch.configure('cpu', 1, 'float32'); import gc; gc.collect(); print(get_device())"
    )
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "meta"}
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=TESTS.parent, env=environment
    )
    assert ended.stdout.strip() == "cpu"
