"""A run for those who ask it from Python: its records, typed, and its tables as pandas frames."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from bench import record
from bench.report import frames, training_frames
from bench.report.folder import SetAside, load, uncollected


@dataclass(frozen=True)
class LoadedRun:
    """One run folder, read. Records are as `bench.record` says, with units in their names; nothing is written.

    `LoadedRun.columns["measurements"]["seconds"].about` says what a column of a frame holds, with its unit.
    """

    columns: ClassVar[Mapping[str, Mapping[str, frames.Column]]] = {
        "measurements": frames.MEASUREMENTS,
        "curves": frames.CURVES,
        "trainings": training_frames.TRAININGS,
        "tested": training_frames.TESTED,
        "starts": training_frames.STARTS,
    }
    """Frame → column → dtype and what it holds, with its unit."""
    run: record.Run
    """`run.json`: what was asked, of what, on which machine; the plan."""
    cells: tuple[record.Cell, ...]
    """Every cell of a workload that could be read, in the order workload, device, block, arm, label."""
    ceilings: tuple[record.Cell, ...]
    """Cells that measure a framework's matrix product."""
    parities: tuple[record.Parity, ...]
    """The arms against the reference."""
    set_aside: tuple[SetAside, ...]
    """Files of the run that no figure is made from, with the reason."""
    missing: tuple[record.PlannedCell, ...]
    """Planned cells without a file, in the order of the plan."""
    measurements: pd.DataFrame
    """A row per cell, phase and round, as in measurements.csv, but for apostrophes before what looks like a formula."""
    curves: pd.DataFrame
    """A row per cell, epoch, split and metric, as in curves.csv."""
    trainings: pd.DataFrame
    """A row per whole training that was begun: how it ended, its best epoch. Empty for a run without any."""
    tested: pd.DataFrame
    """A row per training and metric of its best weights: on the test set, on shuffled validation windows."""
    starts: pd.DataFrame
    """A row per initialiser and seed whose outputs before the first step were looked at."""


@uncollected()
def load_run(path: str | os.PathLike[str]) -> LoadedRun:
    """The run in the folder `path`; a UsageError, one line, where its `run.json` is missing or cannot be used."""
    folder = load(Path(path))
    return LoadedRun(
        run=folder.run,
        cells=folder.cells,
        ceilings=folder.ceilings,
        parities=folder.parities,
        set_aside=folder.set_aside,
        missing=folder.missing(),
        measurements=frames.measurements(folder),
        curves=frames.curves(folder),
        trainings=training_frames.frame_of_trainings(folder),
        tested=training_frames.frame_of_tests(folder),
        starts=training_frames.frame_of_starts(folder),
    )
