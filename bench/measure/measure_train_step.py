"""Training steps on batches that lie on the device: what one update costs when nothing else is in the way."""

import itertools
import statistics

from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject
from bench.measure.timing import timed


def test_train_step(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, steps = subject.session, subject.request.steps_per_round
    session.reset(subject.initial_weights)
    numbers = itertools.count()

    def train_steps() -> None:
        for _ in range(steps):
            session.train_step(next(numbers))
        session.synchronise()

    rounds_s = timed(
        benchmark,
        subject,
        "train_step",
        train_steps,
        steps=steps,
        samples=steps * len(subject.staged_batches[0]),
        rounds=subject.request.rounds,
        warmup_rounds=subject.request.warmup_rounds,
    )
    subject.step_s = statistics.median(rounds_s[subject.request.warmup_rounds :]) / steps
    subject.check_weights()
