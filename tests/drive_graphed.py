"""Epochs of the session that replays whole steps beside one that runs them, for tests: JSON, a line for each length.

No GPU: in place of a recorded graph, the steps themselves are called again.
"""

import json

import numpy as np
import torch
from odd_shapes import SHAPES

from bench import parity
from bench.implementation import Setup, arm
from impl_torch import graphed
from impl_torch.graphed import STEPS, GraphSession
from impl_torch.session import TorchSession

CALLS = 3


def recorded(run):
    """As a recording does: some calls before, which count for nothing, and no Python of `run` in what is returned."""
    for _ in range(CALLS):
        run()

    def replay():
        counted = session.samples
        run()
        session.samples = counted

    return replay


graphed.recorded = recorded
_, spec = SHAPES["31 units"]
data, start = parity.problem(spec), parity.start_weights(spec)
for count in (1, 2, STEPS - 1, STEPS, 2 * STEPS + 1):
    batches = [data.batches[number % len(data.batches)] for number in range(count)]
    batches.append(batches[0][:3])
    seen = []
    for kind in (GraphSession, TorchSession):
        session = kind(Setup(arm("torch-eager"), spec, "cpu", 1, "float64", parity.SEED))
        session.stage(data.dataset)
        session.reset(start)
        metrics = [session.epoch(batches) for _ in range(2)]  # the second one records nothing new
        session.stage_batches(batches[:-1])
        for number in range(3):
            session.train_step(number)
        seen.append((metrics, session.get_weights(), torch.get_rng_state().numpy()))
    (mine, weights, random), (its, others, its_random) = seen
    print(
        json.dumps(
            {
                "batches": count,
                "metrics": mine == its,
                "weights": all(np.array_equal(weights[name], others[name]) for name in others),
                "moved": all(not np.array_equal(weights[name], start[name]) for name in others),
                "masks": np.array_equal(random, its_random),
            }
        ),
        flush=True,
    )
