"""Whole trainings as pandas frames: how each ended, its test set, how seeds start under the published head.

The epochs themselves are the rows of `bench.report.frames.curves`. A run without them has empty frames.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.judgement import dead_start, trainings
from bench.report.folder import Folder
from bench.report.frames import Column

_WHERE = {
    "run": Column("str", "id of the run"),
    "workload": Column("str", "what was trained, with its settings"),
    "arm": Column("str", "contestant"),
    "device": Column("str", "cpu or gpu"),
    "seed": Column("Int64", "of initial weights and order of samples"),
}
_CELL = {"cell": Column("str", "id of the cell, name of its file in cells/")}
TRAININGS = {
    **_WHERE,
    "metric": Column("str", "of the validation set, what the workload is judged by: accuracy or loss"),
    "ended": Column("str", "whole, diverged or failed"),
    "reason": Column("str", "why it is not whole, one line"),
    "dead": Column("Int64", "1 for one under the published head whose validation loss never moved, else 0"),
    "died_after": Column(
        "Int64", "epoch after which its validation loss never moved again, 0 for dead; empty: it lived"
    ),
    "epochs": Column("Int64", "epochs trained"),
    "best": Column("float64", "best value of the metric, in its unit; empty without an epoch"),
    "best_epoch": Column("Int64", "first epoch with it, numbered from 1"),
    "last": Column("float64", "value of the metric after the last epoch, in its unit"),
    "train_s": Column("float64", "s, of all epochs' training"),
    "validate_s": Column("float64", "s, of the validations after them"),
    "resumed": Column("Int64", "how many times it was killed and taken up again"),
    "data_identity": Column("str", "genuine, equivalent, other or synthetic"),
    **_CELL,
}
TESTED = {
    **_WHERE,
    "epoch": Column("Int64", "whose weights were tested: the best on the validation set, numbered from 1"),
    "set": Column("str", "test, or validation for windows whose time steps were shuffled"),
    "permutation": Column("Int64", "of the time steps, from 1; empty for the test set, which is in order"),
    "metric": Column("str", "loss, accuracy"),
    "value": Column("float64", "of the metric, in the metric's unit"),
    **_CELL,
}
STARTS = {
    "run": Column("str", "id of the run"),
    "initialiser": Column("str", "shared: the suite's initial weights; else whose own they are"),
    "seed": Column("Int64", "of the initial weights"),
    "state": Column("str", "dead, partly live or live"),
    "live": Column("Int64", "training samples whose output lies in (0, 1), before the first step"),
    "below": Column("Int64", "training samples whose output is 0 or less"),
    "samples": Column("Int64", "training samples"),
    "low": Column("float64", "smallest output, no unit"),
    "median": Column("float64", "median output, no unit"),
    "high": Column("float64", "largest output, no unit"),
}


def frame_of_trainings(folder: Folder) -> pd.DataFrame:
    """A row per training that was begun, columns as documented above; of workloads that declare a quality."""
    rows = [
        (folder.run.id, each.workload, each.arm, each.device, each.seed, each.metric, each.ended,
         (each.reason or "") if each.ended != "whole" else "", int(each.dead), trainings.died_after(each), each.epochs,
         each.best[-1] if each.epochs else None, each.best_epoch if each.epochs else None,
         each.values[-1] if each.epochs else None, each.train_s[-1] if each.epochs else 0.0,
         each.validate_s[-1] if each.epochs else 0.0, len(each.resumed), each.identity, each.cell)
        for each in trainings.read(folder.run, folder.cells)
    ]  # fmt: skip
    return _frame(rows, TRAININGS)


def frame_of_tests(folder: Folder) -> pd.DataFrame:
    """A row per metric of the test set, and per metric and permutation of the shuffled validation set."""
    rows = [
        (folder.run.id, cell.workload, cell.arm, cell.device, cell.seed, cell.tested.epoch, which, number, metric,
         value, cell.id)
        for cell in folder.cells
        if cell.tested is not None
        for which, number, metrics in (
            ("test", None, cell.tested.metrics),
            *(("validation", number, metrics) for number, metrics in enumerate(cell.tested.shuffled, 1)),
        )
        for metric, value in metrics.items()
    ]  # fmt: skip
    return _frame(rows, TESTED)


def frame_of_starts(folder: Folder) -> pd.DataFrame:
    """A row per initialiser and seed."""
    rows = [
        (folder.run.id, each.initialiser, each.seed, dead_start.state(each), each.live, each.below, each.samples,
         each.low, each.median, each.high)
        for each in dead_start.starts(folder.cells)
    ]  # fmt: skip
    return _frame(rows, STARTS)


def _frame(rows: Sequence[tuple[object, ...]], columns: Mapping[str, Column]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype({name: column.dtype for name, column in columns.items()})
