"""The parity gate goes red for every planted fault, names the tensor, and stays green for the real thing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import catalogue, parity, record, reference
from bench.implementation import arm
from bench.parity_judge import Judge

TESTS = Path(__file__).parent
COMPILED = arm("torch-compile")
RIGHT = (
    *(f"{name}:torch-eager" for name in ("conv", "conv_gru", "lstm", "gru", "conv_dilated")),
    *(f"{key}:torch-eager" for key in ("conv.head-as_published", "conv.optimizer-book", "conv_gru.gate-hard_sigmoid")),
)
FAULTS = {
    # pair: a check that must fail because of it
    "conv_gru:faulty-swapped-gates": "float64 gradient gru.kernel",
    "conv_gru:faulty-epsilon-outside": "float64 weights after 20 steps, gru.kernel",
    "conv:faulty-epsilon-outside": "float64 weights after 20 steps, embedding.table",
    "conv_gru:faulty-shared-mask": "float64 gradient gru.recurrent_kernel",
    "conv_gru:faulty-one-draw-for-all-gates": "float32 mask gru.recurrent: difference between gates",
    "conv_gru:faulty-mask-drawn-each-time-step": "float32 predictions under its own masks",
    "conv_gru:faulty-masked-carry": "float64 predictions in training",
    "conv_gru:faulty-broadcast-loss": "float64 loss",
    "conv:faulty-broadcast-loss": "float64 loss",
    "conv:faulty-broadcast-metric": "float64 evaluation accuracy",
    "lstm:faulty-second-bias": "float64 weights after 20 steps, lstm.bias",
    "conv_dilated:faulty-centred-convolution": "float64 predictions in evaluation",
}


def environment(**variables: str) -> dict[str, str]:
    path = os.pathsep.join([str(TESTS.parent), str(TESTS / "faults"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


def judged(pairs: list[str], **variables: str) -> dict[str, list[list]]:
    """The checks of each pair, from one process: they share a framework."""
    command = [sys.executable, str(TESTS / "faults" / "judge_small.py"), *pairs]
    lines = subprocess.run(command, env=environment(**variables), check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    return {row["pair"]: row["checks"] for row in rows}


@pytest.fixture(scope="module")
def torch_checks() -> dict[str, list[list]]:
    return judged([*RIGHT, *FAULTS])


@pytest.mark.parametrize("pair", RIGHT)
def test_a_right_implementation_passes_every_check(torch_checks, pair):
    assert [check for check in torch_checks[pair] if not check[4]] == []
    held = {f"{precision} {what}" for precision, what, *_ in torch_checks[pair]}
    for weight in catalogue.load(pair.split(":")[0]).weights():
        assert held >= {f"float64 gradient {weight}", f"float64 weights after 20 steps, {weight}"}
        assert f"float32 weights after an epoch, {weight}" in held


@pytest.mark.parametrize(("pair", "quantity"), FAULTS.items())
def test_a_planted_fault_turns_the_gate_red_and_the_tensor_is_named(torch_checks, pair, quantity):
    failed = {f"{precision} {what}" for precision, what, _, _, passed in torch_checks[pair] if not passed}
    assert quantity in failed


def test_the_per_occurrence_embedding_gradient_of_an_indexed_slices_backend_turns_the_gate_red():
    pair = "conv:faulty-per-occurrence-gradient"
    checks = judged([pair], KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="2")[pair]
    failed = {f"{precision} {what}" for precision, what, _, _, passed in checks if not passed}
    assert "float64 weights after 20 steps, embedding.table" in failed
    # the fault is in the optimiser's input only: everything before it is right
    assert not {what for what in failed if "gradient" in what or "predictions" in what or what == "float64 loss"}


def test_the_gate_as_a_program_writes_the_record_names_the_tensor_and_exits_1(tmp_path):
    out = tmp_path / "conv_only.faulty-broadcast-loss.cpu.json"
    command = [sys.executable, "-m", "bench.parity", "--workload", "conv_only", "--arm", "faulty-broadcast-loss"]
    ended = subprocess.run(
        [*command, "--out", str(out)], env=environment(), check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr
    found = record.read(out, record.Parity)
    assert not found.passed
    assert found.id == "conv_only.faulty-broadcast-loss.cpu"
    assert found.digest == catalogue.load("conv_only").digest()
    assert found.reason is not None
    assert found.reason.startswith("float32 loss: error ")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, dict]:
    """What `drive_compile.py` saw of each comparator."""
    own = {name: value.format(cache=tmp_path_factory.mktemp("cache")) for name, value in COMPILED.environment.items()}
    command = [sys.executable, str(TESTS / "drive_compile.py")]
    ended = subprocess.run(command, env=environment(**own), check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return {row["workload"]: row for row in map(json.loads, ended.stdout.splitlines())}


GRAPHS = {
    # Training and evaluation, where every part of a recurrence is a call of the same graph; and the optimiser's step
    "gru": (3, "2 time steps of the recurrence as one graph; the optimizer step"),
    "lstm": (1, "the optimizer step"),
    "conv_dilated": (3, "forward and loss as one graph; the optimizer step"),
}


@pytest.mark.proof  # 42 s, as three of them are compiled
@pytest.mark.parametrize("name", GRAPHS)
def test_a_compiled_comparator_passes_every_float64_check_with_the_graphs_it_says_it_has(compiled, name):
    seen = compiled[name]
    assert [check for check in seen["checks"] if not check[4]] == []
    assert {"predictions in evaluation", "weights after 20 steps, dense.kernel"} < {
        what for _, what, *_ in seen["checks"]
    }
    assert (seen["graphs"], seen["compiled"]) == GRAPHS[name]
    assert seen["graph breaks"] == {}


@pytest.mark.proof
def test_the_arm_declares_the_limits_it_compiles_by(compiled):
    one_graph, part = compiled["gru"]["limits"]
    assert f"more than {one_graph} time steps only its loop, {part} steps a graph" in COMPILED.settings["compiled"]


def test_a_nan_and_a_wrong_shape_and_a_missing_tensor_fail():
    judge = Judge("float64")
    judge.hold("a", np.array([1.0, np.nan]), np.array([1.0, 1.0]), 1e-9)
    judge.hold("b", np.ones((2, 1)), np.ones(2), 1e-9)
    judge.hold_all("weight", {"x": np.ones(1)}, {"x": np.ones(1), "y": np.ones(1)}, 1e-9)
    assert [check.passed for check in judge.checks] == [False, False, True, False]


def test_the_error_is_relative_to_the_largest_value_of_the_reference():
    judge = Judge("float64")
    judge.hold("a", np.array([10.0, 0.1]), np.array([10.0, 0.2]), 1e-2)
    assert judge.checks[0].error == pytest.approx(0.01)
    assert judge.checks[0].passed


@pytest.mark.parametrize("name", catalogue.names())
def test_the_problem_reaches_both_sides_of_the_threshold_and_every_weight(name):
    spec = catalogue.load(name)
    start, data = parity.start_weights(spec), parity.problem(spec)
    predictions, _, gradients = reference.loss_and_gradients(spec, start, *data.batch(0))
    assert all(np.any(gradient != 0) for gradient in gradients.values())
    if spec.head:
        assert 2 <= np.sum(predictions > 0) <= 6  # of 8


def test_the_published_head_is_judged_where_it_has_a_gradient():
    spec = catalogue.load("conv").with_settings(head="as_published")
    predictions, _, gradients = reference.loss_and_gradients(
        spec, parity.start_weights(spec), *parity.problem(spec).batch(0)
    )
    assert np.all((predictions > 0) & (predictions < 1))
    assert all(np.any(gradient != 0) for gradient in gradients.values())
