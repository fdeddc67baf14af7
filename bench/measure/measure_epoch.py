"""One whole epoch from the initial weights, trained the way a user of the framework trains."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.implementation import Metrics
from bench.measure.subject import Subject
from bench.measure.timing import timed


def test_epoch(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, batches = subject.session, subject.train_batches(1)
    subject.skip_if_too_long()
    subject.warm_up_epoch()
    subject.ledger.mark("epoch")
    metrics: Metrics = {}

    def epoch() -> None:
        metrics.update(session.epoch(batches))
        session.synchronise()

    rounds_s = timed(benchmark, subject, "epoch", epoch, steps=len(batches), samples=sum(map(len, batches)))
    subject.check_metrics("in epoch 1", metrics)
    subject.trained = metrics, rounds_s[0]
    benchmark.extra_info["metrics"] = metrics
