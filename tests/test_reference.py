"""The reference against central finite differences, and what it refuses."""

import dataclasses

import numpy as np
import pytest

import bench.reference_layers
from bench.catalogue import load, names
from bench.layers import Dense
from bench.reference import apply, forward, loss, loss_and_gradients, metrics, rmsprop_step, train
from bench.weights import initial_weights, sample_masks
from bench.workload import Reviews

BATCH = 4


def tiny(workload):
    """The same layers in the same order, each small enough for one finite difference per weight."""
    relus = sum(hasattr(layer, "filters") for layer in workload.layers)  # three filters of each of eight die soon
    small = {"vocabulary": 7, "units": 3, "filters": max(3, relus), "width": 3, "size": 2}
    layers = tuple(
        layer
        if isinstance(layer, Dense)
        else dataclasses.replace(layer, **{key: value for key, value in small.items() if hasattr(layer, key)})
        for layer in workload.layers
    )
    if isinstance(workload.data, Reviews):
        data = dataclasses.replace(workload.data, vocabulary=7, time_steps=24)
    else:
        data = dataclasses.replace(workload.data, lookback=24, step=1, features=2)
    return dataclasses.replace(workload, layers=layers, data=data)


def variants():
    """Every workload under every head and gate it has, with and without dropout masks."""
    for name in names():
        workload = tiny(load(name))
        settings = [{"head": head} for head in workload.heads]
        settings += [{"gate": gate} for gate in ("sigmoid", "hard_sigmoid") if workload.masks(1)]
        for setting in settings or [{}]:
            for masked in (False, True) if workload.masks(1) else (False,):
                yield pytest.param(workload.with_settings(**setting), masked, id=f"{name}-{setting}-{masked}")


def example(workload, masked=False, seed=0):
    """Weights away from their initial zeros, inputs, targets and masks, float64."""
    random = np.random.RandomState(seed)
    weights = {
        name: weight + random.uniform(-0.3, 0.3, weight.shape)
        for name, weight in initial_weights(workload, seed).items()
    }
    if isinstance(workload.data, Reviews):
        inputs = random.randint(0, workload.data.vocabulary, (BATCH, *workload.input_shape))
        inputs[:2, :15] = workload.data.padding  # padding makes equal time steps, and so ties in the pooling
        targets = random.randint(0, 2, BATCH).astype(float)
        targets[:2] = 0, 1
    else:
        inputs = random.normal(size=(BATCH, *workload.input_shape))
        # three targets of four beyond all outputs: as many below as above would cancel in the mean of the errors' signs
        targets = random.normal(size=BATCH) + np.array([3, 3, 3, -3])
    return weights, inputs, targets, sample_masks(workload, BATCH, seed) if masked else None


def between_zero_and_one(workload, weights, inputs):
    """The same weights, the last bias moved so that half of the outputs lie in (0, 1), the others below 0."""
    bias = f"{workload.layers[-1].name}.bias"
    outputs = forward(workload, weights, inputs)
    moved = {**weights, bias: weights[bias] - np.median(outputs)}
    outputs = forward(workload, moved, inputs)
    assert sorted([*(outputs > 0) & (outputs < 1)]) == [False, False, True, True]
    return moved


@pytest.mark.parametrize(("workload", "masked"), list(variants()))
def test_every_gradient_is_the_slope_of_the_loss(workload, masked):
    weights, inputs, targets, masks = example(workload, masked)
    if workload.head == "as_published":
        weights = between_zero_and_one(workload, weights, inputs)
    predictions, value, gradients = loss_and_gradients(workload, weights, inputs, targets, masks)

    def loss_at(moved):
        return loss(workload, forward(workload, moved, inputs, masks), targets)

    assert value == loss_at(weights)
    np.testing.assert_array_equal(predictions, forward(workload, weights, inputs, masks))
    assert gradients.keys() == workload.weights().keys()
    step = 1e-5
    for name, weight in weights.items():
        slopes = np.empty_like(weight)
        for place in np.ndindex(weight.shape):
            ends = []
            for offset in (step, -step):
                moved = weight.copy()
                moved[place] += offset
                ends.append(loss_at({**weights, name: moved}))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        # A central difference errs by step² = 1e-10 times a third derivative (of order 1 to 10 here) and by
        # rounding, 1e-16 / step = 1e-11. No kink (relu, maximum, clip) lies within a step for this seed.
        error = np.abs(slopes - gradients[name]).max()
        assert error < 1e-8, f"{name}: slope and gradient differ by {error:.1e}"
        assert np.abs(gradients[name]).max() > 1e-3, f"{name}: a gradient of nothing would prove nothing"


def test_nothing_comes_back_from_an_output_that_the_published_head_clips():
    workload = tiny(load("conv")).with_settings(head="as_published")
    weights, inputs, targets, _ = example(workload)
    weights["dense.bias"] = weights["dense.bias"] - 100  # every output is far below 0, as in 11 of 24 seeds
    _, value, gradients = loss_and_gradients(workload, weights, inputs, targets)
    assert value == pytest.approx(-np.log(1e-7) * targets.mean(), rel=1e-6)
    assert not any(gradient.any() for gradient in gradients.values())


def test_mean_absolute_error_has_slope_zero_where_it_is_zero():
    workload = tiny(load("conv_only"))
    weights, inputs, _, _ = example(workload)
    _, value, gradients = loss_and_gradients(workload, weights, inputs, forward(workload, weights, inputs))
    assert value == 0
    assert not any(gradient.any() for gradient in gradients.values())


def test_weights_do_not_feel_which_of_two_equal_maxima_is_chosen(monkeypatch):
    workload = tiny(load("conv"))
    weights, inputs, targets, _ = example(workload, seed=2)  # its padding ties at values above 0 in both poolings
    _, _, gradients = loss_and_gradients(workload, weights, inputs, targets)

    first_maximum, moved = bench.reference_layers.maxpool1d, []

    def last_maximum(x, size):
        kept = x.shape[1] // size * size
        y, first_back = first_maximum(x, size)
        _, reversed_back = first_maximum(x[:, :kept][:, ::-1], size)

        def back(dy):
            dx = np.zeros_like(x)
            dx[:, :kept] = reversed_back(dy[:, ::-1])[0][:, ::-1]
            moved.append(not np.array_equal(dx * (x > 0), first_back(dy)[0] * (x > 0)))
            return dx, {}

        return y, back

    monkeypatch.setattr(bench.reference_layers, "maxpool1d", last_maximum)
    _, _, others = loss_and_gradients(workload, weights, inputs, targets)
    assert moved == [True, True], "no values above 0 tied, so nothing was shown"
    for name, gradient in gradients.items():
        # The same terms in another order of summation: rounding only.
        np.testing.assert_allclose(others[name], gradient, rtol=0, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("name", names())
def test_full_size_workload_gives_finite_gradients_in_canonical_shapes(name):
    workload = load(name)
    random = np.random.RandomState(1)
    if isinstance(workload.data, Reviews):
        inputs = random.randint(0, workload.data.vocabulary, (2, *workload.input_shape)).astype(np.int32)
    else:
        inputs = random.normal(size=(2, *workload.input_shape)).astype(np.float32)
    weights = initial_weights(workload, 1)
    masks = sample_masks(workload, 2, 1)
    predictions, _, gradients = loss_and_gradients(workload, weights, inputs, np.array([0, 1], np.float32), masks)
    assert predictions.shape == (2,)
    assert predictions.dtype == np.float64
    assert {key: gradient.shape for key, gradient in gradients.items()} == workload.weights()
    assert all(gradient.dtype == np.float64 and np.isfinite(gradient).all() for gradient in gradients.values())


def test_masks_of_ones_are_no_dropout():
    workload = tiny(load("conv_gru"))
    weights, inputs, _, _ = example(workload)
    ones = {name: np.ones(shape) for name, shape in workload.masks(BATCH).items()}
    np.testing.assert_array_equal(forward(workload, weights, inputs, ones), forward(workload, weights, inputs))


def test_training_is_gradients_and_rmsprop_batch_after_batch_and_leaves_its_arguments_alone():
    workload = tiny(load("conv_gru"))
    weights, inputs, targets, masks = example(workload, masked=True)
    before = {name: weight.copy() for name, weight in weights.items()}
    expected, squares = weights, {name: np.zeros_like(weight) for name, weight in weights.items()}
    for start in (0, 1, 2):
        batch = np.roll(inputs, start, axis=0), np.roll(targets, start)
        _, _, gradients = loss_and_gradients(workload, expected, *batch, masks)
        expected, squares = rmsprop_step(workload.optimizer, expected, squares, gradients)
    batches = ((np.roll(inputs, start, axis=0), np.roll(targets, start)) for start in (0, 1, 2))
    trained = train(workload, weights, batches, masks)
    for name in weights:
        np.testing.assert_array_equal(trained[name], expected[name])
        np.testing.assert_array_equal(weights[name], before[name])


@pytest.mark.parametrize("name", names())
def test_training_lowers_the_loss_of_the_batch_it_trains_on(name):
    workload = tiny(load(name).without_dropout())
    weights, inputs, targets, _ = example(workload)
    trained = train(workload, weights, [(inputs, targets)] * 50)
    before, after = (metrics(workload, forward(workload, w, inputs), targets)["loss"] for w in (weights, trained))
    assert after < before


def refusal(call, *arguments):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (every caller looks at the text)
        call(*arguments)
    return str(caught.value)


def test_arguments_of_the_wrong_name_or_shape_are_refused_by_name():
    workload = tiny(load("conv_gru"))
    weights, inputs, targets, masks = example(workload, masked=True)
    assert "inputs have shape" in refusal(forward, workload, weights, inputs[:, :-1])
    assert "weights are named" in refusal(forward, workload, {**weights, "gru.gain": targets}, inputs)
    flat = {**weights, "gru.bias": weights["gru.bias"][:, None]}
    assert "weight gru.bias has shape (9, 1)" in refusal(forward, workload, flat, inputs)
    shared = {**masks, "gru.input": masks["gru.input"][:1]}  # one mask for all gates would broadcast
    assert "mask gru.input has shape" in refusal(forward, workload, weights, inputs, shared)
    only = {"gru.input": masks["gru.input"]}
    assert "masks are named" in refusal(forward, workload, weights, inputs, only)


@pytest.mark.parametrize("call", [loss, metrics])
def test_a_column_of_targets_is_refused_instead_of_broadcast(call):
    assert "expected (batch,) twice" in refusal(call, load("conv"), np.zeros(4), np.zeros((4, 1)))


@pytest.mark.parametrize("bad", [np.full((1, 24), 7), np.full((1, 24), -1), np.zeros((1, 24))])
def test_token_ids_outside_the_vocabulary_or_not_integers_are_refused(bad):
    workload = tiny(load("conv"))
    weights, _, _, _ = example(workload)
    assert "expected integers in [0, 7)" in refusal(forward, workload, weights, bad)


def test_a_layer_the_reference_does_not_know_is_refused():
    with pytest.raises(TypeError, match="does not know"):
        apply(object(), {}, np.zeros((1, 1)), {})
