"""Trains an epoch in float64 whose last batch is short, and leaves the weights: `FOLDER ARM WORKLOAD`."""

import sys
from pathlib import Path

import numpy as np

from bench import catalogue, parity
from bench.implementation import Setup, arm, open_session

SHORT = 40
"""Samples, as `conv` has them in its last batch."""

if __name__ == "__main__":
    folder, name, key = Path(sys.argv[1]), *sys.argv[2:4]
    spec = catalogue.load(key)
    session = open_session(Setup(arm(name), spec, "cpu", 2, "float64", seed=5))
    data = parity.problem(spec)
    session.stage(data.dataset)
    session.reset(parity.start_weights(spec))
    session.epoch([data.batches[0], data.batches[1][:SHORT]])
    weights = session.get_weights()
    if "--place=1" not in sys.argv:
        np.savez(folder / f"{key}.npz", **weights)
        np.savez(folder / "start.npz", **parity.start_weights(spec))
