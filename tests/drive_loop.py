"""Steps of `keras-tuned` in one call, and the same steps a call each, for tests: JSON on standard output.

python drive_loop.py DEVICE       the arm as it is for that device, on the CPU
"""

import json
import sys

import numpy as np
from odd_shapes import SHAPES

from bench import parity
from bench.implementation import Setup, arm, open_session

STEPS = 6
_, spec = SHAPES["31 units"]
data, start = parity.problem(spec), parity.start_weights(spec)


def trained(wait: int, *, dropping: bool = True) -> dict[str, np.ndarray]:
    """Weights after `STEPS` steps, of which `wait` go into one call."""
    shown = spec if dropping else spec.without_dropout()
    session = open_session(Setup(arm("keras-tuned", sys.argv[1]), shown, "cpu", 1, "float64", parity.SEED))
    session.stage(data.dataset)
    session.stage_batches(data.batches[:2])
    session.reset(start)
    for number in range(STEPS):
        session.train_step(number)
        if (number + 1) % wait == 0:
            session.synchronise()
    return dict(session.get_weights())


def distance(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(some[name] - others[name]).max()) for name in some)


one_call, calls, none = trained(STEPS), trained(1), trained(STEPS, dropping=False)
print(json.dumps({"calls apart": distance(one_call, calls), "masks apart": distance(one_call, none)}))
