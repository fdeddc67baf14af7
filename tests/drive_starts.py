"""Draws a framework's own initial weights and starts it from weights made by hand; JSON of what was seen.

python drive_starts.py ARM PREPARED OUT: the weights of seed S go to OUT/S.npz, drawn once more to OUT/S-again.npz.
"""

import json
import sys
from pathlib import Path

import msgspec
import numpy as np

name, prepared, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
sys.argv = sys.argv[:1]

import bench.data  # noqa: E402
from bench import catalogue, weights  # noqa: E402
from bench.implementation import Setup, arm, open_session  # noqa: E402
from bench.measure.measure_starts import start  # noqa: E402

spec = catalogue.load("conv.head-as_published")
dataset = bench.data.open_saved(prepared)
first, end = dataset.ranges["train"]
inputs, targets = dataset.gather(np.arange(first, end, dtype=np.int32))
session = open_session(Setup(arm(name), spec, "cpu", 1, "float32", 0))
begun = weights.initial_weights(spec, 0)
session.reset(begun)
for label, seed in (("7", 7), ("3", 3), ("7-again", 7)):
    weights.save(out / f"{label}.npz", session.own_weights(seed))
untouched = all(np.array_equal(values, begun[name]) for name, values in session.get_weights().items())


def from_hand(sign: float, bias: float) -> dict:
    """The start, and the largest gradient, where every output is `bias` and what `sign` makes of features above 0."""
    made = {**begun, "dense.kernel": sign * np.abs(begun["dense.kernel"]), "dense.bias": np.array([bias], np.float32)}
    session.reset(made)
    _, _, gradients = session.loss_and_gradients(inputs, targets)
    largest = max(float(np.max(np.abs(values))) for values in gradients.values())
    return {"start": msgspec.to_builtins(start("by hand", 0, session.predict(inputs))), "gradient": largest}


seen = {"below": from_hand(-1, -0.01), "above": from_hand(1, 1.01), "inside": from_hand(0, 0.5)}
json.dump({"untouched": untouched, **seen}, sys.stdout)
