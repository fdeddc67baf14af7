"""Holds an arm to the reference in bfloat16, and tells whether it rounds as bfloat16 does; JSON, a line for each.

python drive_precision.py ARM WORKLOAD…
"""

import json
import sys

import numpy as np

from bench import catalogue, parity
from bench.implementation import Setup, arm, open_session
from bench.parity_judge import Judge
from bench.parity_sampler import hold_sampler

for name in sys.argv[2:]:
    spec = parity.shortened(catalogue.load(f"{name}.precision-bf16"))
    judge, data, start = Judge("bf16"), parity.problem(spec), parity.start_weights(spec)
    session = open_session(Setup(arm(sys.argv[1]), spec, "cpu", 1, spec.precision, parity.SEED))
    parity.hold_session(judge, session, spec)
    if spec.masks(parity.BATCH):
        hold_sampler(judge, session, spec, data.batch(0)[0], start)
    session.reset(start)
    kept = all(np.array_equal(values, start[weight]) for weight, values in session.get_weights().items())
    failed = [(check.quantity, check.error, check.bound) for check in judge.checks if not check.passed]
    worst = max(check.error for check in judge.checks if check.quantity.startswith("predictions in evaluation"))
    print(json.dumps({"workload": name, "failed": failed, "predictions": worst, "weights kept": kept}), flush=True)
