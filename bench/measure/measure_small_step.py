"""Training steps on staged batches cut to a part of their samples: they tell what of a step no sample causes."""

import itertools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject
from bench.measure.timing import timed

SMALL_PART = 8
"""A small batch is a full one divided by it: far enough from it for a line through both, with a shape still usual."""
WARMUP_ROUNDS, ROUNDS = 2, 10
LONGEST_FIRST_STEP_S = 15.0
"""An arm that compiles does so again for another batch shape; one that took longer the first time is spared that."""


def test_small_step(request: pytest.FixtureRequest, subject: Subject) -> None:
    first_s = subject.times_s.get("step_s", 0.0)
    if first_s > LONGEST_FIRST_STEP_S:
        pytest.skip(f"the first step took {first_s:.0f} s, and another batch shape would take as long again")
    session, steps = subject.session, subject.request.steps_per_round
    small = [batch[: max(1, len(batch) // SMALL_PART)] for batch in subject.staged_batches]
    numbers = itertools.count()

    def train_steps() -> None:
        for _ in range(steps):
            session.train_step(next(numbers))
        session.synchronise()

    session.reset(subject.initial_weights)
    session.stage_batches(small)
    for _ in range(WARMUP_ROUNDS):
        train_steps()
    subject.ledger.mark("checks")
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    timed(benchmark, subject, "small_step", train_steps, steps=steps, samples=steps * len(small[0]), rounds=ROUNDS)
    subject.check_weights()
    session.stage_batches(subject.staged_batches)  # for what is measured after it
    subject.ledger.mark("checks")
