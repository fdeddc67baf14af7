"""What the model's outputs for all training samples are before the first step, from many seeds: a forward pass each.

Of the suite's shared initial weights and, where the framework draws weights of its own, of those too, as the control.
"""

import numpy as np
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from bench import weights
from bench.implementation import Arrays
from bench.measure.subject import Subject
from bench.measure.timing import timed
from bench.profiles import STARTS_SEEDS
from bench.record import SHARED, STARTS, Start


def test_starts(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, own = subject.session, subject.arm.initialisers
    inputs = [subject.dataset.gather(batch)[0] for batch in subject.train_batches(1)]  # every sample once
    outputs: list[NDArray[np.floating]] = []
    asked = [(SHARED, seed) for seed in range(STARTS_SEEDS)]
    asked += [(own, seed) for seed in range(STARTS_SEEDS) if own]
    waiting = iter(asked)

    def begin() -> tuple[str, int] | None:
        """Puts the next start's weights in place; None after the last."""
        begun = next(waiting, None)
        if begun is not None:
            session.reset(_weights(subject, *begun))
        return begun

    def forward() -> None:
        outputs[:] = [session.predict(batch) for batch in inputs]

    begun = begin()

    def note() -> None:
        nonlocal begun
        assert begun is not None
        subject.starts.append(start(*begun, np.concatenate(outputs)))
        begun = begin()

    samples = sum(map(len, inputs))
    timed(benchmark, subject, STARTS, forward, steps=len(inputs), samples=samples, rounds=len(asked), after_round=note)


def start(initialiser: str, seed: int, outputs: NDArray[np.floating]) -> Start:
    """What is recorded of outputs (samples,)."""
    return Start(
        seed=seed,
        initialiser=initialiser,
        live=int(np.sum((outputs > 0) & (outputs < 1))),
        samples=len(outputs),
        below=int(np.sum(outputs <= 0)),
        low=float(outputs.min()),
        median=float(np.median(outputs)),
        high=float(outputs.max()),
    )


def _weights(subject: Subject, initialiser: str, seed: int) -> Arrays:
    if initialiser == SHARED:
        return weights.initial_weights(subject.workload, seed)
    return subject.session.own_weights(seed)
