"""From a model definition to its first update: build, stage data, set weights, compile, one step.

The framework's import comes before the clock; its time and those of the parts are in the extra information.
"""

import time

from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject
from bench.measure.timing import timed


def test_first_step(benchmark: BenchmarkFixture, subject: Subject) -> None:
    subject.make_ready()

    def first_step() -> None:
        session = subject.open()
        start_s = time.perf_counter()
        session.train_step(0)
        session.synchronise()
        subject.times_s["step_s"] = time.perf_counter() - start_s
        subject.ledger.mark("first_step")

    timed(benchmark, subject, "first_step", first_step, steps=1, samples=len(subject.staged_batches[0]))
    benchmark.extra_info.update(subject.times_s)
    subject.check_weights()
