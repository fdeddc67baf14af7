"""The workload's whole training schedule: every epoch timed and validated, the best one's weights tested at the end.

With `--checkpoint FILE` the training is put into FILE after every epoch but the last, and where FILE is there it goes
on from it: the same curve, unless the framework itself computes differently each time. After the last epoch there is
none: what follows is over soon, and a phase without a round would be none.
"""

import time
from pathlib import Path

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from bench import cell, checkpoint, derived, record
from bench.checkpoint import Progress
from bench.data.windows import SHUFFLES
from bench.errors import UsageError, tell
from bench.implementation import Metrics
from bench.measure.subject import Subject
from bench.measure.timing import last_rounds_s, timed
from bench.record import CurvePoint


def test_converge(benchmark: BenchmarkFixture, subject: Subject) -> None:
    session, validation = subject.session, subject.dataset.validation_batches()
    epochs = subject.request.epochs or subject.workload.epochs
    subject.warm_up_epoch()
    progress = _begun(subject, epochs)
    subject.ledger.mark("epoch")
    batches = subject.train_batches(len(progress.curve) + 1)
    train: Metrics = {}

    def epoch() -> None:
        train.update(session.epoch(batches))
        session.synchronise()

    def validate() -> None:
        nonlocal batches
        number = len(progress.curve) + 1
        subject.check_metrics(f"in epoch {number}", train)
        start_s = time.perf_counter()
        metrics = session.evaluate(validation)
        session.synchronise()
        validate_s = time.perf_counter() - start_s
        subject.check_metrics(f"in validation after epoch {number}", metrics)
        if subject.workload.head == "as_published":
            metrics |= _rounding(subject)
        point = CurvePoint(number, dict(train), metrics, last_rounds_s(benchmark)[-1], validate_s)
        subject.add_point(point)
        _note(subject, progress, point)
        if number < epochs:
            _keep(subject, progress)
            batches = subject.train_batches(number + 1)

    timed(
        benchmark,
        subject,
        derived.CONVERGE,
        epoch,
        steps=len(batches),
        samples=sum(map(len, batches)),
        rounds=epochs - len(progress.curve),
        after_round=validate,
    )
    subject.note_peak_memory()  # what is staged from here on is the suite's doing
    subject.tested = _tested(subject, progress)
    subject.ledger.mark("validate")


def _rounding(subject: Subject) -> Metrics:
    """Why the published accuracy, round(output) == label, may fall while the loss falls: what rounds to neither label.

    Shares of the validation set's outputs; and the accuracy if they were cut at 0.5 instead.
    """
    batches = [subject.dataset.gather(batch) for batch in subject.dataset.validation_batches()]
    outputs = np.concatenate([subject.session.predict(inputs) for inputs, _ in batches])
    labels = np.concatenate([targets for _, targets in batches])
    shares = (outputs > 1.5, outputs < -0.5, (outputs > 0.5) == labels)
    return {name: float(np.mean(share)) for name, share in zip(record.ROUNDING_METRICS, shares, strict=True)}


def _begun(subject: Subject, epochs: int) -> Progress:
    """The training as far as it has come: from its checkpoint if that can be used, else from its initial weights."""
    progress, path = Progress(), subject.request.checkpoint
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise UsageError(f"--checkpoint {path}: the folder it is to lie in is not there; make it, or name another")
    try:
        found = checkpoint.load(Path(path), subject.about, epochs) if path else None
    except checkpoint.UnusableError as error:
        found, subject.unused_checkpoint = None, str(error)
        tell(subject.unused_checkpoint)
    if found is not None:
        progress, state = found
        subject.session.set_state(state)
        subject.resumed = tuple(progress.resumed)
        tell(f"{path}: goes on after epoch {len(progress.curve)}")
    if subject.request.out is not None:
        cell.begin_curve(Path(subject.request.out), progress.curve)
    return progress


def _note(subject: Subject, progress: Progress, point: CurvePoint) -> None:
    progress.curve.append(point)
    if derived.best_point(progress.curve, subject.workload.quality.metric) is point:
        progress.best = subject.session.get_weights()


def _keep(subject: Subject, progress: Progress) -> None:
    if subject.request.checkpoint is not None and not subject.request.place:
        checkpoint.save(Path(subject.request.checkpoint), subject.about, progress, subject.session.get_state())


def _tested(subject: Subject, progress: Progress) -> record.Tested:
    """The test set once, with the weights of the best epoch; of a series, the validation set in other orders too."""
    session, dataset = subject.session, subject.dataset
    session.reset(progress.best)
    start_s = time.perf_counter()
    metrics = session.evaluate(dataset.test_batches())
    session.synchronise()
    seconds = time.perf_counter() - start_s
    subject.check_metrics("on the test set", metrics)
    shuffled = []
    for number in range(SHUFFLES if dataset.offsets is not None else 0):
        session.stage(dataset.shuffled(number))
        shuffled.append(session.evaluate(dataset.validation_batches()))
        subject.check_metrics(f"in validation under shuffle {number}", shuffled[-1])
    epoch = derived.best_point(progress.curve, subject.workload.quality.metric).epoch
    return record.Tested(epoch, metrics, seconds, tuple(shuffled))
