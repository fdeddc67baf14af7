"""Training steps an arm offers beside its own: not the workload's mathematics, told apart and never compared."""

import itertools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject
from bench.measure.timing import timed


def test_aside(request: pytest.FixtureRequest, subject: Subject) -> None:
    session, steps = subject.session, subject.request.steps_per_round
    offered = session.aside()
    subject.ledger.mark("checks")
    if offered is None:
        pytest.skip(f"{subject.arm.name} has nothing to show beside its own training step")
    about, train_step = offered
    numbers = itertools.count()

    def train_steps() -> None:
        for _ in range(steps):
            train_step(next(numbers))
        session.synchronise()

    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    timed(
        benchmark,
        subject,
        "aside",
        train_steps,
        steps=steps,
        samples=steps * len(subject.staged_batches[0]),
        rounds=subject.request.rounds,
    )
    benchmark.extra_info["about"] = about
