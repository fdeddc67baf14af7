"""Holds the compiled arm of PyTorch to the reference on a few time steps, for tests: JSON of what was seen.

A recurrence is cut into parts as if it had hundreds of steps; the last part is as long as the others.
"""

import dataclasses
import json

import torch

from bench import catalogue, parity, workload
from bench.implementation import Setup, arm, open_session
from bench.parity_judge import Judge
from impl_torch import recurrent

PARTS = 3


def short(name: str) -> workload.Workload:
    """The workload over a few time steps, with two of its dilated convolutions: seconds to compile."""
    spec = catalogue.load(name)
    steps = PARTS * recurrent.PART
    if isinstance(spec.data, workload.Reviews):
        embedding, *others = spec.layers
        layers = (dataclasses.replace(embedding, vocabulary=20), *others)
        data = dataclasses.replace(spec.data, vocabulary=20, time_steps=steps)
        return dataclasses.replace(spec, layers=layers, data=data)
    layers = spec.layers if len(spec.layers) < 5 else (*spec.layers[:2], *spec.layers[-2:])
    return dataclasses.replace(
        spec, layers=layers, data=dataclasses.replace(spec.data, lookback=steps * spec.data.step)
    )


limits = [recurrent.ONE_GRAPH, recurrent.PART]
recurrent.ONE_GRAPH, recurrent.PART = 2, 2
for name in ("gru", "lstm", "conv_dilated"):
    torch._dynamo.utils.counters.clear()
    judgement, spec = Judge("float64"), short(name)
    session = open_session(Setup(arm("torch-compile"), spec, "cpu", 1, "float64"))
    parity.hold_session(judgement, session, spec)
    counters = torch._dynamo.utils.counters
    seen = {
        "workload": name,
        "limits": limits,
        "compiled": session.versions()["compiled"],
        "checks": [[c.precision, c.quantity, c.error, c.bound, c.passed] for c in judgement.checks],
        "graphs": counters["stats"]["unique_graphs"],
        "graph breaks": dict(counters["graph_break"]),
    }
    print(json.dumps(seen), flush=True)
