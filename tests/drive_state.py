"""Trains arms of one framework and saves their state, or goes on from it in another process; JSON of what was seen.

python drive_state.py begin|resume FOLDER ARM…
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

mode, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
sys.argv = sys.argv[:1]

from bench import catalogue, parity, workload  # noqa: E402
from bench.data.windows import Dataset  # noqa: E402
from bench.implementation import Session, Setup, arm, open_session  # noqa: E402

STEPS = 4  # of an epoch
RANDOM = ("random.", "seed_generator")
"""In the names of what the arms' random states are kept in."""


def small() -> workload.Workload:
    """`gru`, with both kinds of dropout, over two time steps: enough to shuffle, little to compile."""
    spec = catalogue.load("gru")
    return dataclasses.replace(spec, data=dataclasses.replace(spec.data, lookback=2 * spec.data.step))


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
        return dict(stored)


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Largest difference of any value."""
    assert one.keys() == other.keys()
    return max(float(np.max(np.abs(one[name] - other[name]))) for name in one)


def losses(session: Session, dataset: Dataset) -> float:
    """Mean absolute error over the second epoch's batches, from the session's predictions of windows gathered here."""
    picked = [dataset.gather(batch) for batch in second]
    return float(np.mean([np.abs(session.predict(inputs) - targets) for inputs, targets in picked]))


def same_windows(dataset: Dataset) -> bool:
    """Whether the published program's windows are those of `gather`."""
    from impl_keras.published import windows

    picked = zip(windows(dataset, dataset.inputs.astype(np.float64), problem.batches), problem.batches, strict=True)
    return all(
        np.array_equal(inputs, whole) and np.array_equal(targets[:, 0], labels)
        for (inputs, targets), batch in picked
        for whole, labels in [dataset.gather(batch)]
    )


spec = small()
problem = parity.problem(spec)
shuffled = dataclasses.replace(problem.dataset, offsets=problem.dataset.offsets[::-1].copy())
first, second = problem.batches[:STEPS], problem.batches[STEPS : 2 * STEPS]
seen = {}
for name in names:
    session = open_session(Setup(arm(name), spec, "cpu", 1, "float32"))
    session.stage(problem.dataset)
    session.reset(parity.start_weights(spec))
    fresh = session.get_state()
    if mode == "begin":
        session.epoch(first)
        half = session.get_weights()
        np.savez(folder / f"{name}.state.npz", allow_pickle=False, **session.get_state())
        session.epoch(second)
        np.savez(folder / f"{name}.end.npz", allow_pickle=False, **session.get_weights())
        seen[name] = {"moved": apart(session.get_weights(), half)}
        continue
    shown = {}
    if name != "torch-compile":  # which compiles evaluation for most of a minute, and gathers as its neighbour does
        shown |= {"loss": session.evaluate(second)["loss"], "by hand": losses(session, problem.dataset)}
        session.stage(shuffled)
        shown |= {"shuffled loss": session.evaluate(second)["loss"], "shuffled by hand": losses(session, shuffled)}
        session.stage(problem.dataset)
    state, end = load(f"{name}.state"), load(f"{name}.end")
    session.set_state(state)
    set_again = all(np.array_equal(values, state[key]) for key, values in session.get_state().items())
    session.epoch(second)
    resumed = apart(session.get_weights(), end)
    session.set_state({key: fresh[key] if any(word in key for word in RANDOM) else state[key] for key in state})
    session.epoch(second)
    other_masks = apart(session.get_weights(), end)
    session.set_state({key: fresh[key] if "square" in key or "velocity" in key else state[key] for key in state})
    session.epoch(second)
    seen[name] = shown | {"same state": set_again, "resumed": resumed, "other masks": other_masks,
                          "other slots": apart(session.get_weights(), end)}  # fmt: skip
    if name == "keras-published":
        seen[name]["windows"] = same_windows(problem.dataset) and same_windows(shuffled)
print(json.dumps(seen))
