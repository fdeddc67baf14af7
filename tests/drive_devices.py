"""Prints, as JSON, what dropout masks a session of an arm draws on a workload: `ARM WORKLOAD`."""

import hashlib
import json
import sys

from bench import catalogue, parity
from bench.implementation import Setup, arm, open_session

if __name__ == "__main__":
    name, key = sys.argv[1:3]
    spec = catalogue.load(key)
    session = open_session(Setup(arm(name), spec, "cpu", 2, "float32", seed=5))
    session.reset(parity.start_weights(spec))
    inputs, _ = parity.problem(spec).batch(0)
    draws = [session.training_forward(inputs)[1] for _ in range(3)]
    digests = [{mask: hashlib.sha256(drawn.astype("<f4").tobytes()).hexdigest() for mask, drawn in each.items()}
               for each in draws]  # fmt: skip
    found = {"masks": digests, "parallel": session.versions().get("data parallel")}
    if "--place=1" not in sys.argv:
        print(json.dumps(found))
