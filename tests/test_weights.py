"""Initial weights and masks: their distributions against Keras' own layers, their streams, and their file."""

import dataclasses
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from bench.catalogue import load as load_workload
from bench.catalogue import names
from bench.errors import UsageError
from bench.weights import glorot_limit, initial_weights, load, sample_masks, save

ROOT = Path(__file__).parent.parent
DRAWS = 16

# Default layers of Keras itself, in a process of their own: one framework computes in a process.
KERAS = """
import sys, numpy, keras
from bench.catalogue import load, names

def built(layer, shape):
    match layer.kind:
        case "embedding": made = keras.layers.Embedding(layer.vocabulary, layer.units)
        case "conv1d": made = keras.layers.Conv1D(layer.filters, layer.width)
        case "causalconv1d": made = keras.layers.Conv1D(layer.filters, layer.width, padding="causal")
        case "lstm": made = keras.layers.LSTM(layer.units)
        case "gru": made = keras.layers.GRU(layer.units, reset_after=False)
        case "dense": made = keras.layers.Dense(layer.units)
    made.build((None, *shape))
    return [numpy.asarray(weight) for weight in made.get_weights()]

drawn = {}
for name in names():
    for layer, shape in load(name).layer_inputs():
        if layer.weights(shape):
            draws = []
            for seed in range(1 if layer.kind == "embedding" else int(sys.argv[2])):
                keras.utils.set_random_seed(seed)
                draws.append(built(layer, shape))
            for weight, values in zip(layer.weights(shape), zip(*draws)):
                drawn[f"{name}/{layer.name}.{weight}"] = numpy.stack(values)
numpy.savez(sys.argv[1], **drawn)
"""


@pytest.fixture(scope="module")
def keras_draws(tmp_path_factory):
    """{"workload/layer.weight": (draws, *shape)} as Keras initialises its layers by default."""
    path = tmp_path_factory.mktemp("keras") / "drawn.npz"
    python = os.environ.get("BENCH_PYTHON_JAX", sys.executable)
    done = subprocess.run(
        [python, "-c", KERAS, path, str(DRAWS)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def our_draws():
    """The same for ours."""
    drawn = {name: [initial_weights(load_workload(name), seed) for seed in range(DRAWS)] for name in names()}
    return {
        f"{name}/{weight}": np.stack([draw[weight] for draw in (draws[:1] if weight.endswith("table") else draws)])
        for name, draws in drawn.items()
        for weight in draws[0]
    }


def limit_of(name, shape):
    return 0.05 if name.endswith("table") else glorot_limit(shape)


def uniform_ones(draws):
    return {name: values for name, values in draws.items() if name.endswith((".kernel", ".table"))}


def test_keras_layers_have_the_same_weights_in_the_same_layout(keras_draws, our_draws):
    assert {name: values.shape for name, values in our_draws.items()} == {
        name: values.shape for name, values in keras_draws.items()
    }


def test_every_tensor_is_distributed_as_keras_draws_it(keras_draws, our_draws):
    for name, ours in our_draws.items():
        if name.endswith(".bias"):
            np.testing.assert_array_equal(ours, keras_draws[name], err_msg=name)
            assert set(ours.ravel()) == ({0, 1} if name == "lstm/lstm.bias" else {0}), name
        else:
            # Kolmogorov-Smirnov over some 30 tensors at 1e-4 each: equal distributions fail in at most 0.3 % of
            # choices of seeds, and the seeds are fixed. Entries of an orthogonal matrix are bound to each other, which
            # makes the two samples more alike than independent ones: fewer failures still.
            same = ks_2samp(ours.ravel(), keras_draws[name].ravel())
            assert same.pvalue > 1e-4, f"{name}: p = {same.pvalue:.1e}"


def test_the_comparison_sees_fans_counted_per_gate(keras_draws, our_draws):
    per_gate = math.sqrt(6 / (32 + 32)) / math.sqrt(6 / (32 + 3 * 32))
    name = "conv_gru/gru.kernel"
    assert ks_2samp(our_draws[name].ravel() * per_gate, keras_draws[name].ravel()).pvalue < 1e-4


def test_uniform_tensors_fill_their_bounds_and_have_their_variance(keras_draws, our_draws):
    for name, ours in uniform_ones(our_draws).items():
        limit = np.float32(limit_of(name, ours.shape[1:]))
        for values in (ours, keras_draws[name]):
            assert np.abs(values).max() <= limit, name
            # n values all stay below 1 - 20/n of the limit with probability e^-20.
            assert np.abs(values).max() >= limit * (1 - 20 / values.size), name
            # The variance is limit²/3; its estimate from n values spreads by sqrt(0.8 / n) of it; 5 of these.
            assert values.var() == pytest.approx(limit**2 / 3, rel=5 * math.sqrt(0.8 / values.size)), name


def test_glorot_limits_by_hand():
    assert glorot_limit((32, 1)) == math.sqrt(6 / 33)
    assert glorot_limit((7, 128, 32)) == math.sqrt(6 / (7 * 128 + 7 * 32))
    assert glorot_limit((32, 96)) == math.sqrt(6 / 128)


def test_recurrent_kernels_have_orthonormal_rows_over_all_gates(keras_draws, our_draws):
    for draws in (our_draws, keras_draws):
        for name in ("conv_gru/gru.recurrent_kernel", "gru/gru.recurrent_kernel", "lstm/lstm.recurrent_kernel"):
            for kernel in draws[name].astype(float):
                # float32 rounds each entry by 3e-8 of it at most: products of unit rows are off by about 1e-7.
                np.testing.assert_allclose(kernel @ kernel.T, np.eye(32), atol=1e-6)


def test_orthogonal_kernels_are_uniform_and_carry_no_sign_of_the_factorisation():
    # Without the sign of R's diagonal, LAPACK makes the first entry negative in every draw.
    first = [initial_weights(load_workload("conv_gru"), seed)["gru.recurrent_kernel"][0, 0] for seed in range(200)]
    # Half of 200 fair coins, give or take 5 standard deviations of 7.1.
    assert 65 < np.sum(np.array(first) > 0) < 135


def test_weights_are_float32_in_canonical_order_and_repeat_for_a_seed():
    for name in names():
        workload = load_workload(name)
        weights, again = initial_weights(workload, 7), initial_weights(workload, 7)
        assert {key: weight.shape for key, weight in weights.items()} == workload.weights()
        assert list(weights) == list(workload.weights())
        for key, weight in weights.items():
            assert weight.dtype == np.float32
            np.testing.assert_array_equal(weight, again[key])


def test_the_forget_gates_of_an_lstm_start_open_and_no_other():
    bias = initial_weights(load_workload("lstm"), 0)["lstm.bias"]
    assert bias.tolist() == [0] * 32 + [1] * 32 + [0] * 64  # i, f, c, o


def test_streams_are_the_same_for_ever_on_every_machine():
    digest = hashlib.sha256()
    for name in ("conv", "conv_gru", "conv_only"):
        for key, weight in initial_weights(load_workload(name), 3).items():
            if not key.endswith("recurrent_kernel"):  # LAPACK: equal but for the last bits
                digest.update(weight.tobytes())
    for mask in sample_masks(load_workload("conv_gru"), 8, 3).values():
        digest.update(mask.tobytes())
    assert digest.hexdigest() == "f23ad19591da84246ff132cfd1e74ba911ceaebe6267529169c3a3f447fa4afd"


def test_seeds_and_tensors_have_streams_of_their_own():
    workload = load_workload("conv_only")
    one, two = initial_weights(workload, 1), initial_weights(workload, 2)
    assert not np.array_equal(one["conv1.kernel"], two["conv1.kernel"])
    assert not np.array_equal(one["conv2.kernel"], one["conv3.kernel"])


def test_names_of_layers_do_not_move_the_numbers():
    workload = load_workload("conv_gru")
    layers = tuple(dataclasses.replace(layer, name=f"other_{layer.name}") for layer in workload.layers)
    other = initial_weights(dataclasses.replace(workload, layers=layers), 5)
    for name, weight in initial_weights(workload, 5).items():
        np.testing.assert_array_equal(other[f"other_{name}"], weight)


def test_masks_are_zero_at_the_stated_rate_and_else_scaled():
    workload = load_workload("conv_gru")
    masks = sample_masks(workload, 500, 0)
    assert {name: mask.shape for name, mask in masks.items()} == workload.masks(500)
    for name, share in (("gru.input", 0.1), ("gru.recurrent", 0.5)):
        mask = masks[name]
        assert mask.dtype == np.float64
        assert set(np.unique(mask)) == {0.0, 1 / (1 - share)}
        # 48,000 coins: 5 standard deviations of the rate.
        assert np.mean(mask == 0) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / mask.size))
        assert not np.array_equal(mask[0], mask[1])
        assert not np.array_equal(mask[:, 0], mask[:, 1])
    assert not np.array_equal(sample_masks(workload, 500, 1)["gru.input"], masks["gru.input"])


def test_a_share_of_zero_masks_nothing():
    layers = tuple(
        dataclasses.replace(layer, dropout=0.0) if layer.kind == "gru" else layer
        for layer in load_workload("conv_gru").layers
    )
    masks = sample_masks(dataclasses.replace(load_workload("conv_gru"), layers=layers), 4, 0)
    assert (masks["gru.input"] == 1).all()
    assert not (masks["gru.recurrent"] == 1).any()
    assert sample_masks(load_workload("conv_gru").without_dropout(), 4, 0) == {}
    assert sample_masks(load_workload("conv"), 4, 0) == {}


def test_saved_weights_come_back_equal_and_equal_weights_make_equal_files(tmp_path):
    weights = initial_weights(load_workload("conv_gru"), 0)
    save(tmp_path / "one.npz", weights)
    save(tmp_path / "two.npz", load(tmp_path / "one.npz"))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]
    loaded = load(tmp_path / "one.npz")
    assert list(loaded) == list(weights)
    for name, weight in weights.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], weight)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def damages(whole):
    return {
        "empty": b"",
        "text": b"weights\n",
        "cut in half": whole[: len(whole) // 2],
        "cut at the end": whole[:-1],
        "one bit": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "compression": whole.replace(b"PK\x01\x02-\x03-\0\0\0\0\0", b"PK\x01\x02-\x03-\0\0\0\x63\0"),
    }


def test_a_damaged_file_of_weights_is_refused_in_one_line_that_names_it(tmp_path):
    whole, path = tmp_path / "whole.npz", tmp_path / "damaged.npz"
    save(whole, {"dense.bias": np.zeros(100, np.float32)})
    for damage, content in damages(whole.read_bytes()).items():
        path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            load(path)
        assert str(path) in str(caught.value), damage
        assert "\n" not in str(caught.value), damage


def test_pickled_objects_in_a_file_of_weights_do_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "trap.npz", trap=np.array([Trap()], object))
    np.save(tmp_path / "trap.npy", np.array([Trap()], object))
    for name in ("trap.npz", "trap.npy"):
        with pytest.raises(UsageError, match=f"{name}: not whole initial weights"):
            load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_a_folder_and_a_bare_array_are_refused(tmp_path):
    np.save(tmp_path / "bare.npy", np.zeros(3))
    for name in ("absent.npz", ".", "bare.npy"):
        with pytest.raises(UsageError) as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
