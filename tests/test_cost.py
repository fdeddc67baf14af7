"""Analytic costs against counts written out by hand, for every workload at its batch of 128."""

import dataclasses

import pytest

from bench.catalogue import load, names
from bench.cost import costs, training_bytes, training_flops
from bench.workload import Reviews

B = 128

# Products count 2 for each multiply-add: forward, weight's gradient, and the input's where a weight stands before.
PRODUCTS = {
    "conv": {
        "embedding": 0,
        "conv1": 3 * 2 * B * 494 * 32 * (7 * 128),  # follows an embedding: its input needs a gradient
        "pool1": 0,
        "conv2": 3 * 2 * B * 92 * 32 * (7 * 32),
        "pool2": 0,
        "dense": 3 * 2 * B * 32,
    },
    "conv_only": {
        "conv1": 2 * 2 * B * 236 * 32 * (5 * 14),  # stands on the data
        "pool1": 0,
        "conv2": 3 * 2 * B * 74 * 32 * (5 * 32),
        "pool2": 0,
        "conv3": 3 * 2 * B * 20 * 32 * (5 * 32),
        "pool3": 0,
        "dense": 3 * 2 * B * 32,
    },
    "conv_gru": {
        "conv1": 2 * 2 * B * 236 * 32 * (5 * 14),
        "pool1": 0,
        "conv2": 3 * 2 * B * 74 * 32 * (5 * 32),
        "gru": 3 * 2 * B * 74 * (32 * 96) + 3 * 2 * B * 74 * (32 * 96),  # from the input, from the state
        "dense": 3 * 2 * B * 32,
    },
}

PRODUCTS |= {
    "lstm": {
        "embedding": 0,
        "lstm": 3 * 2 * B * 500 * (32 * 128) + 3 * 2 * B * 500 * (32 * 128),  # from the input, from the state
        "dense": 3 * 2 * B * 32,
    },
    "gru": {
        "gru": 2 * 2 * B * 240 * (14 * 96) + 3 * 2 * B * 240 * (32 * 96),  # stands on the data
        "dense": 3 * 2 * B * 32,
    },
    "conv_dilated": {
        "conv1": 2 * 2 * B * 240 * 30 * (2 * 14),
        **{f"conv{n}": 3 * 2 * B * 240 * 30 * (2 * 30) for n in range(2, 9)},
        "last": 0,
        "dense": 3 * 2 * B * 30,
    },
}

# Convolution: bias and relu, there and back. Pooling: comparisons. Dense: bias, there and back.
ELEMENTWISE = {
    "conv": {
        "embedding": B * 500 * 128,
        "conv1": 4 * B * 494 * 32,
        "pool1": 4 * B * 98 * 32,
        "conv2": 4 * B * 92 * 32,
        "pool2": 91 * B * 32,
        "dense": 2 * B,
    },
    "conv_only": {
        "conv1": 4 * B * 236 * 32,
        "pool1": 2 * B * 78 * 32,
        "conv2": 4 * B * 74 * 32,
        "pool2": 2 * B * 24 * 32,
        "conv3": 4 * B * 20 * 32,
        "pool3": 19 * B * 32,
        "dense": 2 * B,
    },
    "conv_gru": {
        "conv1": 4 * B * 236 * 32,
        "pool1": 2 * B * 78 * 32,
        "conv2": 4 * B * 74 * 32,
        # 36 for each unit and time step; 3 gates' masks on 32 inputs and on 32 units, there and back.
        "gru": 36 * B * 74 * 32 + 2 * 74 * (3 * B * 32) + 2 * 74 * (3 * B * 32),
        "dense": 2 * B,
    },
}

ELEMENTWISE |= {
    "lstm": {
        "embedding": B * 500 * 32,
        # for each unit and time step: 4 biases, 4 sums, 4 activations, 3 for c', 2 for h'; back: tanh c', 5 for dc',
        # 4 for each of 4 gates, 1 for dc, 4 biases
        "lstm": (4 + 4 + 4 + 3 + 2 + 1 + 5 + 4 * 4 + 1 + 4) * B * 500 * 32,
        "dense": 2 * B,
    },
    "gru": {
        # 3 gates' masks on 14 inputs, there only, and on 32 units, there and back
        "gru": 36 * B * 240 * 32 + 240 * (3 * B * 14) + 2 * 240 * (3 * B * 32),
        "dense": 2 * B,
    },
    "conv_dilated": {**{f"conv{n}": 4 * B * 240 * 30 for n in range(1, 9)}, "last": 0, "dense": 2 * B},
}

# Values of 4 bytes, forward + backward. Convolution: x, weights, y + dy, y, x, dweights (+ weights, dx).
VALUES = {
    "conv": {
        # ids, rows, y + ids, dy, dtable
        "embedding": (B * 500 + 2 * B * 500 * 128) + (B * 500 + B * 500 * 128 + 1_280_000),
        "conv1": (B * 500 * 128 + 28_704 + B * 494 * 32) + (2 * B * 494 * 32 + 2 * B * 500 * 128 + 2 * 28_704),
        # x, y + dy, x, dx
        "pool1": (B * 494 * 32 + B * 98 * 32) + (B * 98 * 32 + 2 * B * 494 * 32),
        "conv2": (B * 98 * 32 + 7_200 + B * 92 * 32) + (2 * B * 92 * 32 + 2 * B * 98 * 32 + 2 * 7_200),
        "pool2": (B * 92 * 32 + B * 32) + (B * 32 + 2 * B * 92 * 32),
        # x, weights, y + dy, x, dweights, weights, dx
        "dense": (B * 32 + 33 + B) + (B + 2 * B * 32 + 2 * 33),
    },
    "conv_only": {
        "conv1": (B * 240 * 14 + 2_272 + B * 236 * 32) + (2 * B * 236 * 32 + B * 240 * 14 + 2_272),
        "pool1": (B * 236 * 32 + B * 78 * 32) + (B * 78 * 32 + 2 * B * 236 * 32),
        "conv2": (B * 78 * 32 + 5_152 + B * 74 * 32) + (2 * B * 74 * 32 + 2 * B * 78 * 32 + 2 * 5_152),
        "pool2": (B * 74 * 32 + B * 24 * 32) + (B * 24 * 32 + 2 * B * 74 * 32),
        "conv3": (B * 24 * 32 + 5_152 + B * 20 * 32) + (2 * B * 20 * 32 + 2 * B * 24 * 32 + 2 * 5_152),
        "pool3": (B * 20 * 32 + B * 32) + (B * 32 + 2 * B * 20 * 32),
        "dense": (B * 32 + 33 + B) + (B + 2 * B * 32 + 2 * 33),
    },
    "conv_gru": {
        "conv1": (B * 240 * 14 + 2_272 + B * 236 * 32) + (2 * B * 236 * 32 + B * 240 * 14 + 2_272),
        "pool1": (B * 236 * 32 + B * 78 * 32) + (B * 78 * 32 + 2 * B * 236 * 32),
        "conv2": (B * 78 * 32 + 5_152 + B * 74 * 32) + (2 * B * 74 * 32 + 2 * B * 78 * 32 + 2 * 5_152),
        # x, weights, two masks, (h, z, r, c), y + dy, x, (h, z, r, c), two masks, U, dweights, W, dx
        "gru": (B * 74 * 32 + 6_240 + 2 * 3 * B * 32 + 4 * B * 74 * 32 + B * 32)
        + (B * 32 + B * 74 * 32 + 4 * B * 74 * 32 + 2 * 3 * B * 32 + 32 * 96 + 6_240 + 32 * 96 + B * 74 * 32),
        "dense": (B * 32 + 33 + B) + (B + 2 * B * 32 + 2 * 33),
    },
}

VALUES |= {
    "lstm": {
        "embedding": (B * 500 + 2 * B * 500 * 32) + (B * 500 + B * 500 * 32 + 320_000),
        # x, weights, (h, c, i, f, c~, o), y + dy, x, (h, c, i, f, c~, o), U, dweights, W, dx
        "lstm": (B * 500 * 32 + 8_320 + 6 * B * 500 * 32 + B * 32)
        + (B * 32 + B * 500 * 32 + 6 * B * 500 * 32 + 32 * 128 + 8_320 + 32 * 128 + B * 500 * 32),
        "dense": (B * 32 + 33 + B) + (B + 2 * B * 32 + 2 * 33),
    },
    "gru": {
        # as in conv_gru, without W and dx
        "gru": (B * 240 * 14 + 4_512 + 3 * B * (14 + 32) + 4 * B * 240 * 32 + B * 32)
        + (B * 32 + B * 240 * 14 + 4 * B * 240 * 32 + 3 * B * (14 + 32) + 32 * 96 + 4_512),
        "dense": (B * 32 + 33 + B) + (B + 2 * B * 32 + 2 * 33),
    },
    "conv_dilated": {
        "conv1": (B * 240 * 14 + 870 + B * 240 * 30) + (2 * B * 240 * 30 + B * 240 * 14 + 870),
        **{
            f"conv{n}": (B * 240 * 30 + 1_830 + B * 240 * 30)
            + (2 * B * 240 * 30 + B * 240 * 30 + 1_830 + 1_830 + B * 240 * 30)
            for n in range(2, 9)
        },
        "last": (B * 30 + B * 30) + (B * 30 + B * 240 * 30),  # what it takes, y + dy, dx with its zeros
        "dense": (B * 30 + 31 + B) + (B + 2 * B * 30 + 2 * 31),
    },
}

PARAMETERS = {
    "conv": 1_315_937,
    "conv_only": 12_609,
    "conv_gru": 13_697,
    "lstm": 328_353,
    "gru": 4_545,
    "conv_dilated": 13_711,
}

# RMSprop, one parameter: 9 operations; 5 moves (weight, square, gradient in; weight, square out).
FLOPS = {
    name: sum(PRODUCTS[name].values()) + sum(ELEMENTWISE[name].values()) + 9 * PARAMETERS[name] for name in PARAMETERS
}
BYTES = {name: 4 * sum(VALUES[name].values()) + 4 * 5 * PARAMETERS[name] for name in PARAMETERS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_layer_costs_what_a_count_by_hand_says(name):
    rows = costs(load(name))
    assert {row.name: row.product_flops for row in rows} == PRODUCTS[name]
    assert {row.name: row.elementwise_flops for row in rows} == ELEMENTWISE[name]
    assert {row.name: row.forward_bytes + row.backward_bytes for row in rows} == {
        layer: 4 * values for layer, values in VALUES[name].items()
    }


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_step_costs_the_sum_of_its_layers_and_their_updates(name):
    workload = load(name)
    assert training_flops(workload) == FLOPS[name] == sum(row.flops for row in costs(workload))
    assert training_bytes(workload) == BYTES[name] == sum(row.bytes for row in costs(workload))


def with_batch(workload, batch):
    steps = workload.steps_per_epoch
    if isinstance(workload.data, Reviews):
        steps = -(-workload.data.train_samples // batch)
    return dataclasses.replace(workload, batch_size=batch, steps_per_epoch=steps)


@pytest.mark.parametrize("name", names())
def test_costs_grow_with_the_batch_by_the_same_amount_for_every_sample(name):
    workload = load(name)
    for cost in (training_flops, training_bytes):
        one, two, three = (cost(with_batch(workload, batch)) for batch in (1, 2, 3))
        assert one < two < three
        assert three - two == two - one  # what does not depend on the batch (the update) is paid once


def test_no_workload_is_left_out_of_the_counts_by_hand():
    assert set(PARAMETERS) == set(names())


def test_dropout_costs_its_masks():
    workload = load("conv_gru")
    saved = training_flops(workload) - training_flops(workload.without_dropout())
    assert saved == 4 * 74 * 3 * B * 32
    moved = training_bytes(workload) - training_bytes(workload.without_dropout())
    assert moved == 4 * 2 * (2 * 3 * B * 32)


def test_heads_and_gates_cost_the_same():
    assert costs(load("conv").with_settings(head="as_published")) == costs(load("conv"))
    assert costs(load("conv_gru").with_settings(gate="hard_sigmoid")) == costs(load("conv_gru"))
