"""The study of dead starts, with a real arm: counts against the reference, the control against weights drawn again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_cells import THREADS, seen, train

import bench.data
from bench import catalogue, implementation, reference, weights
from bench.data.windows import Dataset, Source
from bench.measure.measure_starts import start
from bench.record import Start

ARM, KEY = "keras-tensorflow", "conv.head-as_published"
TESTS = Path(__file__).parent
SAMPLES = 40
EDGE = 1e-5
"""Outputs of about 0.1 are sums of some thousand products in float32: two implementations differ by far less."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A prepared folder of a few reviews of random words, a short last batch among them."""
    spec = catalogue.load(KEY).data
    random = np.random.RandomState(0)
    dataset = Dataset(
        source=Source("synthetic", "a few reviews made by a test", ()),
        inputs=random.randint(1, spec.vocabulary, (SAMPLES + 16, spec.time_steps)).astype(np.int32),
        targets=(np.arange(SAMPLES + 16) % 2).astype(np.float32),
        offsets=None,
        ranges={"train": (0, SAMPLES), "validation": (SAMPLES, SAMPLES + 8), "test": (SAMPLES + 8, SAMPLES + 16)},
        batch_size=16,
        steps_per_epoch=3,
    )
    folder = tmp_path_factory.mktemp("prepared") / "reviews"
    bench.data.save(dataset, folder)
    return folder


@pytest.fixture(scope="module")
def studied(prepared, tmp_path_factory) -> dict[tuple[str, int], Start]:
    """What a cell's process recorded, by initialiser and seed."""
    out = tmp_path_factory.mktemp("study") / "out"
    assert train(out, prepared, ARM, phase="starts", workload=KEY) == 0, (out / "output").read_text()
    return {(each.initialiser, each.seed): each for each in seen(out).starts}


@pytest.fixture(scope="module")
def driven(prepared, tmp_path_factory) -> tuple[Path, dict]:
    """Another process's weights, in a folder, and what it saw."""
    out = tmp_path_factory.mktemp("driven")
    own = {key: value.format(cache=out, threads=1) for key, value in implementation.arm(ARM).environment.items()}
    paths = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, str(TESTS / "drive_starts.py"), ARM, str(prepared), str(out)],
        env=os.environ | own | THREADS | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return out, json.loads(ended.stdout.splitlines()[-1])


def assert_counts(found: Start, drawn: weights.Weights, prepared: Path) -> None:
    """Holds a recorded start against the float64 reference."""
    inputs = bench.data.open_saved(prepared).inputs[:SAMPLES]
    outputs = reference.forward(catalogue.load(KEY), drawn, inputs)
    edge = np.sum((np.abs(outputs) < EDGE) | (np.abs(outputs - 1) < EDGE))
    assert found.samples == SAMPLES
    assert abs(found.live - np.sum((outputs > 0) & (outputs < 1))) <= edge
    assert abs(found.below - np.sum(outputs <= 0)) <= edge
    assert [found.low, found.median, found.high] == pytest.approx(
        [outputs.min(), np.median(outputs), outputs.max()], abs=EDGE
    )


def test_fifty_seeds_of_the_shared_weights_and_fifty_of_the_frameworks_own_are_looked_at(studied):
    assert set(studied) == {(name, seed) for name in ("shared", "Keras") for seed in range(50)}


def test_what_is_recorded_of_a_seed_is_what_the_reference_says(studied, prepared):
    live = {seed: studied["shared", seed].live for seed in range(50)}
    # One seed of every state: dead ones and live ones are there to be told from one another.
    dead = next(seed for seed, count in live.items() if count == 0)
    partly = next(seed for seed, count in live.items() if 0 < count < SAMPLES)
    whole = next(seed for seed, count in live.items() if count == SAMPLES)
    for seed in (dead, partly, whole, 49):
        assert_counts(studied["shared", seed], weights.initial_weights(catalogue.load(KEY), seed), prepared)


def test_the_frameworks_own_weights_come_from_the_seed_alone_in_whatever_order_and_process(studied, driven, prepared):
    folder, _ = driven
    first, again, other = (weights.load(folder / f"{name}.npz") for name in ("7", "7-again", "3"))
    assert first.keys() == catalogue.load(KEY).weights().keys()
    for name, values in first.items():
        assert np.array_equal(values, again[name])
        assert name.endswith("bias") or not np.array_equal(values, other[name])
    for seed, drawn in ((7, first), (3, other)):
        assert_counts(studied["Keras", seed], drawn, prepared)


def test_the_frameworks_own_weights_have_the_published_distributions_and_are_not_the_shared_ones(driven):
    own, shared = weights.load(driven[0] / "7.npz"), weights.initial_weights(catalogue.load(KEY), 7)
    for name, shape in catalogue.load(KEY).weights().items():
        assert own[name].shape == shape
        if name.endswith("bias"):
            assert not own[name].any()
            continue
        limit = weights.EMBEDDING_LIMIT if name.endswith("table") else weights.glorot_limit(shape)
        assert (
            0.8 * limit < np.abs(own[name]).max() <= limit
        )  # of 32 uniform numbers all are smaller once in 1,000 times
        assert not np.array_equal(own[name], shared[name])


def test_drawing_them_leaves_the_session_as_it_is(driven):
    assert driven[1]["untouched"]


def test_outputs_below_0_or_above_1_are_dead_and_have_no_gradient_at_all_and_others_have_one(driven):
    below, above, inside = (driven[1][where] for where in ("below", "above", "inside"))
    assert (below["start"]["live"], below["start"]["below"], below["gradient"]) == (0, SAMPLES, 0.0)
    assert below["start"]["high"] < 0
    assert (above["start"]["live"], above["start"]["below"], above["gradient"]) == (0, 0, 0.0)
    assert above["start"]["low"] > 1
    assert inside["start"]["live"] == SAMPLES
    assert inside["gradient"] > 1e-3  # of 40 samples that each pull by some 2 / 40, not of rounding


def test_an_output_on_the_edge_is_outside():
    found = start("by hand", 3, np.array([-2.0, 0.0, 0.25, 0.5, 1.0, 7.0], np.float32))
    assert (found.live, found.below, found.samples) == (2, 2, 6)
    assert (found.low, found.median, found.high) == (-2.0, 0.375, 7.0)
