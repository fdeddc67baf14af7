"""All validation batches once; after `measure_epoch.py` with its weights, which completes the curve's first point."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.implementation import Metrics
from bench.measure.subject import Subject
from bench.measure.timing import timed
from bench.record import CurvePoint


def test_validate(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, batches = subject.session, subject.dataset.validation_batches()
    subject.skip_if_too_long()
    session.evaluate([batches[0], batches[-1]])  # compiles both batch shapes
    subject.ledger.mark("validate")
    metrics: Metrics = {}

    def validate() -> None:
        metrics.update(session.evaluate(batches))
        session.synchronise()

    rounds_s = timed(benchmark, subject, "validate", validate, steps=len(batches), samples=sum(map(len, batches)))
    subject.check_metrics("in validation", metrics)
    benchmark.extra_info["metrics"] = metrics
    if subject.trained is not None:
        train, train_s = subject.trained
        subject.add_point(CurvePoint(1, train, metrics, train_s, rounds_s[0]))
