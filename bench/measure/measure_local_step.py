"""Training steps whose gradients stay on their device: what the exchange between devices costs is the difference.

Where several devices train together. A round ends when the slowest device is done, as one of `train_step` does. Weights
differ between devices meanwhile, so this comes after what is to be right.
"""

import itertools

from pytest_benchmark.fixture import BenchmarkFixture

from bench.derived import LOCAL
from bench.measure.subject import Subject
from bench.measure.timing import timed

WARMUP_STEPS = 2
"""The first compiles, where there is something to compile."""


def test_local_step(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, steps = subject.session, subject.request.steps_per_round
    session.reset(subject.initial_weights)
    for number in range(WARMUP_STEPS):
        session.local_step(number)
    session.agreed(0.0)  # all processes begin together …
    numbers = itertools.count()

    def local_steps() -> None:
        for _ in range(steps):
            session.local_step(next(numbers))
        session.synchronise()
        session.agreed(0.0)  # … and end together, as the devices of one process do: waiting is no communication

    samples = steps * len(subject.staged_batches[0])
    timed(benchmark, subject, LOCAL, local_steps, steps=steps, samples=samples, rounds=subject.request.rounds)
    session.reset(subject.initial_weights)
