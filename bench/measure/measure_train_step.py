"""Training steps on batches that lie on the device: what one update costs when nothing else is in the way.

Rounds that something disturbed are measured again, as many of them, once. Nothing is taken away.
"""

import itertools
import statistics

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject
from bench.measure.timing import timed


def test_train_step(benchmark: BenchmarkFixture, subject: Subject) -> None:
    subject.session.reset(subject.initial_weights)
    subject.energy.start()
    rounds_s = _train(benchmark, subject, subject.request.rounds)
    subject.note_energy(len(rounds_s) * subject.request.steps_per_round)
    subject.step_s = statistics.median(rounds_s) / subject.request.steps_per_round
    subject.watch.settle()
    disturbed = subject.count_disturbed(benchmark.extra_info["starts_s"], rounds_s)
    subject.disturbed_rounds = round(subject.session.agreed(disturbed))
    subject.check_weights()


def test_train_step_again(request: pytest.FixtureRequest, subject: Subject) -> None:
    if not subject.disturbed_rounds:
        pytest.skip("no round was disturbed")
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    _train(benchmark, subject, subject.disturbed_rounds)
    subject.check_weights()


def _train(benchmark: BenchmarkFixture, subject: Subject, rounds: int) -> list[float]:
    session, steps = subject.session, subject.request.steps_per_round
    numbers = itertools.count()

    def train_steps() -> None:
        for _ in range(steps):
            session.train_step(next(numbers))
        session.synchronise()

    samples = steps * len(subject.staged_batches[0])
    return timed(benchmark, subject, "train_step", train_steps, steps=steps, samples=samples, rounds=rounds)
