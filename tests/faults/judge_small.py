"""Runs the parity gate on arms and small variants of workloads, for tests: JSON of the checks on standard output.

python judge_small.py WORKLOAD:ARM …
"""

import dataclasses
import json
import sys

from bench import catalogue, parity, workload
from bench.implementation import arm


def small(name: str) -> workload.Workload:
    """The workload with the same layers over fewer time steps and words: seconds become tenths of them."""
    spec = catalogue.load(name)
    if isinstance(spec.data, workload.Reviews):
        embedding, *others = spec.layers
        layers = (dataclasses.replace(embedding, vocabulary=200), *others)
        return dataclasses.replace(
            spec, layers=layers, data=dataclasses.replace(spec.data, vocabulary=200, time_steps=80)
        )
    return dataclasses.replace(spec, data=dataclasses.replace(spec.data, lookback=75 * spec.data.step))


for pair in sys.argv[1:]:
    of, contestant = pair.split(":")
    checks = parity.judge(arm(contestant), small(of), "cpu", 1, full=True)
    found = [[c.precision, c.quantity, c.error, c.bound, c.passed] for c in checks]
    print(json.dumps({"pair": pair, "checks": found}), flush=True)
