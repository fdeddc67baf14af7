"""The workload's whole training schedule: every epoch timed, every epoch validated, both on the learning curve."""

import itertools
import time

from pytest_benchmark.fixture import BenchmarkFixture

from bench.implementation import Metrics
from bench.measure.subject import Subject
from bench.measure.timing import last_rounds_s, timed
from bench.record import CurvePoint


def test_converge(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, validation = subject.session, subject.dataset.validation_batches()
    epochs = subject.request.epochs or subject.workload.epochs
    subject.warm_up_epoch()
    subject.ledger.mark("epoch")
    numbers = itertools.count(1)
    batches = subject.train_batches(1)
    train: Metrics = {}

    def epoch() -> None:
        train.update(session.epoch(batches))
        session.synchronise()

    def validate() -> None:
        nonlocal batches
        number = next(numbers)
        subject.check_metrics(f"in epoch {number}", train)
        start_s = time.perf_counter()
        metrics = session.evaluate(validation)
        session.synchronise()
        validate_s = time.perf_counter() - start_s
        subject.check_metrics(f"in validation after epoch {number}", metrics)
        subject.add_point(CurvePoint(number, dict(train), metrics, last_rounds_s(benchmark)[-1], validate_s))
        batches = subject.train_batches(number + 1)

    timed(
        benchmark,
        subject,
        "converge",
        epoch,
        steps=len(batches),
        samples=sum(map(len, batches)),
        rounds=epochs,
        after_round=validate,
    )
