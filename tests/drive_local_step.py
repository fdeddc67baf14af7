"""Prints, as JSON, what a step without the exchange of gradients leaves on each of two devices: `ARM WORKLOAD`.

Errors are max|a - b| over all weights against the reference's own step, in float64: from each device's part of the
batch, and, after a reset, of a step with the exchange, from the whole batch.
"""

import json
import sys

import numpy as np

from bench import catalogue, parity, reference
from bench.implementation import Setup, arm, open_session


def by_device(session) -> list[dict]:
    """Weights by canonical name, of every device."""
    if hasattr(session, "team"):
        import torch.distributed

        found = [None] * session.team.size
        torch.distributed.all_gather_object(found, dict(session.get_weights()))
        return found
    from impl_keras import model

    session.trainer.settle()
    variables = model.weights(session.model)
    if hasattr(session.several, "strategy"):
        parts = {
            name: session.several.strategy.experimental_local_results(each.value) for name, each in variables.items()
        }
        return [{name: each[place].numpy() for name, each in parts.items()} for place in (0, 1)]
    return [
        {name: np.asarray(each.value.addressable_shards[place].data) for name, each in variables.items()}
        for place in (0, 1)
    ]


def expected(spec, start, inputs, targets, scale: float) -> dict:
    """The reference's weights after one step, whose gradients are multiplied by `scale`."""
    weights = {name: value.astype(np.float64) for name, value in start.items()}
    _, _, gradients = reference.loss_and_gradients(spec, weights, inputs, targets, None)
    squares = {name: np.zeros_like(value) for name, value in weights.items()}
    scaled = {name: scale * value for name, value in gradients.items()}
    return reference.rmsprop_step(spec.optimizer, weights, squares, scaled)[0]


def error(found: dict, right: dict) -> float:
    return max(float(np.max(np.abs(found[name] - right[name]))) for name in right)


if __name__ == "__main__":
    name, key = sys.argv[1:3]
    spec = catalogue.load(key)
    session = open_session(Setup(arm(name), spec, "cpu", 2, "float64", seed=5))
    data, start = parity.problem(spec), parity.start_weights(spec)
    inputs, targets = data.batch(0)
    half = len(targets) // 2
    session.stage(data.dataset)
    session.stage_batches(data.batches[:1])
    session.reset(start)
    session.local_step(0)
    session.synchronise()
    found = by_device(session)
    scale = 0.5 if name == "keras-tensorflow" else 1.0  # a replica's loss is its part of the whole batch's mean
    rights = [
        expected(spec, start, inputs[part], targets[part], scale) for part in (slice(None, half), slice(half, None))
    ]
    told = {"local": list(map(error, found, rights)), "apart": error(*found)}
    session.reset(start)
    session.train_step(0)
    session.synchronise()
    together = expected(spec, start, inputs, targets, 1.0)
    told["together"] = [error(each, together) for each in by_device(session)]
    if "--place=1" not in sys.argv:
        print(json.dumps(told))
