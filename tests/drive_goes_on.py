"""Trains four batches in float64, or goes on after two from a state on disk: `begin|resume FOLDER ARM WORKLOAD`.

`begin` leaves the state after two batches and the weights after four, `resume` the weights it ends with.
"""

import sys
from pathlib import Path

import numpy as np

from bench import catalogue, parity
from bench.implementation import Setup, arm, open_session

if __name__ == "__main__":
    mode, folder, name, key = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5]
    first = "--place=1" not in sys.argv
    spec = catalogue.load(key)
    session = open_session(Setup(arm(name), spec, "cpu", 2, "float64", seed=5))
    data = parity.problem(spec)
    session.stage(data.dataset)
    session.reset(parity.start_weights(spec))
    if mode == "begin":
        session.epoch(data.batches[:2])
        state = session.get_state()
        if first:
            np.savez(folder / "state.npz", **state)
    else:
        with np.load(folder / "state.npz") as found:
            session.set_state(dict(found))
    session.epoch(data.batches[2:4])
    weights = session.get_weights()
    if first:
        np.savez(folder / f"{mode}.npz", **weights)
