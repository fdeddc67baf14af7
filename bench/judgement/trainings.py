"""Whole trainings read out of a run's cells: what was reached after every epoch, in how many seconds, how it ended.

**Best so far.** A user keeps the weights of the best epoch, and the test set is measured with them. So what a training
has reached after an epoch is the best value of the quality metric up to it: it only ever improves.

**Censored.** A training is censored when it does not say what its whole schedule reaches: it diverged, it failed before
the last epoch, or it is dead. Its record stays among the trainings with the epochs it has; what judges it says what it
makes of it. Only what was never trained (a hole in the grid, an arm that fails parity, a cell still to come) is no
training: `untried` lists it with the reason.

**Dead.** Under the published head an output outside (0, 1) has no gradient. Where that is so of every training sample
the weights never change, so that the validation loss is the same after every epoch. It is taken for the same when it
stays within `STILL` of its first value: sums in another order differ by some 1e-7 in float32, and an epoch that moves
any weight moves the loss by far more. Two epochs at least, or nothing can be said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from bench import derived
from bench.derived import CONVERGE
from bench.record import Cell, CurvePoint, PlannedCell, Run, Tested, Workload

PUBLISHED_HEAD = "as_published"
STILL = 1e-5
"""Relative; a loss that moves by no more stands still."""

Ended = Literal["whole", "diverged", "failed"]


@dataclass(frozen=True)
class Training:
    """One schedule, trained by one arm from one seed; values and seconds have an entry for each epoch trained."""

    cell: str
    workload: str
    """With its settings, as the run calls it: `conv.head-as_published`."""
    arm: str
    device: str
    seed: int
    """Of initial weights and batches: equal seeds of one workload start from equal weights and see equal batches."""
    identity: str
    """Of the data."""
    metric: str
    """Of the validation set: what the workload is judged by."""
    values: tuple[float, ...]
    train_s: tuple[float, ...]
    """Seconds of training up to the end of each epoch, evaluation left out."""
    validate_s: tuple[float, ...]
    """Seconds of validation up to the end of each epoch."""
    points: tuple[CurvePoint, ...]
    """The epochs as recorded."""
    samples_per_epoch: int
    ended: Ended
    reason: str | None
    """Why it did not reach the end of its schedule."""
    dead: bool
    """The loss never moved."""
    tested: Tested | None
    resumed: tuple[int, ...] = ()
    """It was killed and taken up again after each of these epochs."""

    @property
    def name(self) -> str:
        """Of the workload, without its settings."""
        return self.workload.partition(".")[0]

    @property
    def settings(self) -> tuple[str, ...]:
        """Those that differ from the workload's spec, as `head-as_published`."""
        return tuple(self.workload.split(".")[1:])

    @property
    def more_is_better(self) -> bool:
        return self.metric == "accuracy"

    @cached_property
    def best(self) -> tuple[float, ...]:
        """The best value of the metric up to each epoch."""
        return tuple(accumulate(self.values, max if self.more_is_better else min))

    @property
    def best_epoch(self) -> int:
        """The first of those with the best value, from 1; IndexError where no epoch was trained."""
        return 1 + self.values.index(self.best[-1])

    @property
    def epochs(self) -> int:
        """So many were trained."""
        return len(self.values)

    @property
    def censored(self) -> bool:
        return self.dead or self.ended != "whole"

    @property
    def fate(self) -> str:
        """`whole`, or why it is censored: `dead`, `diverged`, `failed`."""
        return "dead" if self.dead and self.ended == "whole" else self.ended


@dataclass(frozen=True)
class Untried:
    """A training that was planned and never begun."""

    cell: str
    workload: str
    arm: str
    device: str
    seed: int
    reason: str


def gain(more_is_better: bool, a: float, b: float) -> float:
    """By how much `a` is better than `b`, in the unit of the metric."""
    return a - b if more_is_better else b - a


def read(run: Run, cells: Iterable[Cell]) -> tuple[Training, ...]:
    """The trainings among the cells, by workload and seed, else in their order.

    Those of a workload that declares no quality are not judged; workloads declare one from schema 3 on.
    """
    planned, order = {entry.id: entry for entry in run.plan}, list(run.workloads)
    found = (
        _training(cell, run.workloads[cell.workload])
        for cell in cells
        if _is_training(cell, planned.get(cell.id)) and _judged(run, cell.workload) and _begun(cell)
    )
    return tuple(sorted(found, key=lambda training: (order.index(training.workload), training.seed)))


def untried(run: Run, cells: Iterable[Cell]) -> tuple[Untried, ...]:
    """The trainings of the plan that were never begun, in its order, with the reason."""
    known = {cell.id: cell for cell in cells}
    found = []
    for planned in run.plan:
        cell = known.get(planned.id)
        if CONVERGE not in planned.phases or not _judged(run, planned.workload) or (cell is not None and _begun(cell)):
            continue
        hole = run.arms[planned.arm].hole
        reason = (cell.reason if cell is not None else hole) or "planned, not trained"
        seed = run.seed if planned.seed is None else planned.seed
        found.append(Untried(planned.id, planned.workload, planned.arm, planned.device, seed, reason))
    return tuple(found)


def _judged(run: Run, workload: str) -> bool:
    return workload in run.workloads and run.workloads[workload].quality is not None


def _is_training(cell: Cell, planned: PlannedCell | None) -> bool:
    return CONVERGE in (planned.phases if planned is not None else derived.phases(cell))


def _begun(cell: Cell) -> bool:
    """Whether a process tried it: a hole and an arm refused for its parity took no time."""
    return cell.status == "ok" or bool(cell.curve) or (cell.status == "failed" and cell.wall_s > 0)


def _training(cell: Cell, spec: Workload) -> Training:
    assert spec.quality is not None, "asked before"
    metric = spec.quality.metric
    points = tuple(point for point in cell.curve if _usable(point, spec))
    whole = cell.status == "ok" or (len(points) >= spec.epochs and not cell.diverged)
    timed = derived.phases(cell).get(CONVERGE)
    return Training(
        cell=cell.id,
        workload=cell.workload,
        arm=cell.contestant,
        device=cell.device,
        seed=cell.seed,
        identity=cell.data_identity,
        metric=metric,
        values=tuple(point.validation[metric] for point in points),
        train_s=tuple(accumulate(point.train_s for point in points)),
        validate_s=tuple(accumulate(point.validate_s for point in points)),
        points=points,
        samples_per_epoch=timed.samples_per_round if timed else spec.batch_size * spec.steps_per_epoch,
        ended="whole" if whole and points else "diverged" if cell.diverged else "failed",
        reason=cell.reason or (None if points else "its record has no epoch with its metrics and times"),
        dead=spec.head == PUBLISHED_HEAD and len(points) > 1 and _still([point.validation["loss"] for point in points]),
        tested=cell.tested,
        resumed=cell.resumed,
    )


def _usable(point: CurvePoint, spec: Workload) -> bool:
    known = point.train.keys() & point.validation.keys()
    return known >= set(spec.metrics) and point.train_s > 0 and point.validate_s >= 0


def _still(losses: Sequence[float]) -> bool:
    return max(losses) - min(losses) <= STILL * abs(losses[0])


def died_after(training: Training) -> int | None:
    """The last epoch in which the validation loss of a training under the published head moved, from 1.

    0 for a dead one; None where it moved to the end. Two epochs at least must stand still.
    """
    losses = [point.validation["loss"] for point in training.points]
    still = next((epoch for epoch in range(1, len(losses) - 1) if _still(losses[epoch - 1 :])), None)
    return 0 if training.dead else still


def of(
    trainings: Iterable[Training], workload: str | None = None, device: str | None = None, arm: str | None = None
) -> tuple[Training, ...]:
    """Those of a workload, a device, an arm; None: of all."""
    return tuple(
        training
        for training in trainings
        if workload in (None, training.workload) and device in (None, training.device) and arm in (None, training.arm)
    )


def groups(trainings: Iterable[Training]) -> dict[tuple[str, str], tuple[Training, ...]]:
    """By workload and device, which are what may be compared."""
    found: dict[tuple[str, str], list[Training]] = {}
    for training in trainings:
        found.setdefault((training.workload, training.device), []).append(training)
    return {key: tuple(group) for key, group in found.items()}
