"""The two tables behind everything in a report, as pandas frames and as the CSV files of the run.

`measurements.csv`: one row per cell, phase and round, raw. A cell without rounds (hole, failed, missing,
unreadable) is one row with empty figures. The rounds of an earlier try of a cell, which does not count, are rows of
their own before those of the try that does. `curves.csv`: one row per cell, epoch, split and metric.

`MEASUREMENTS` and `CURVES` say of every column what it holds, in which unit. Text that a spreadsheet would take for a
formula gets a leading apostrophe in the CSV files.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bench import derived, record
from bench.report.folder import Folder


class Column(NamedTuple):
    """A column of a table. Where nothing is known, text is "" and a figure is missing."""

    dtype: Literal["str", "Int64", "float64"]
    about: str
    """What it holds, with its unit."""


WHERE = {
    "run": Column("str", "id of the run"),
    "workload": Column("str", "what was trained; ceiling for a framework's matrix product"),
    "arm": Column("str", "contestant"),
    "label": Column("str", "a2 for the second entry of the A/A control's arm, else empty"),
    "device": Column("str", "cpu or gpu"),
    "block": Column("Int64", "in which block, numbered from 1; 0 for a framework's matrix product"),
}
MEASUREMENTS = {
    **WHERE,
    "phase": Column(
        "str", "first_step, train_step, epoch, validate, converge, starts, local_step, small_step, aside or ceiling"
    ),
    "round": Column(
        "Int64",
        "number of the timed region in its phase, from 1; those measured again come last; from 1 in an earlier try too",
    ),
    "warmup": Column("Int64", "1 for a warm-up round (kept, not counted), else 0; empty for an earlier try"),
    "tainted": Column(
        "Int64",
        "1 for a round that something else on the machine disturbed, else 0; empty for an earlier try, of which only "
        "the reason is kept",
    ),
    "counted": Column(
        "Int64",
        "1 for a round that enters the figures if the cell is ok: after the warm-up, and not tainted unless most of "
        "the phase's rounds are; 0 for an earlier try",
    ),
    "start_s": Column(
        "float64",
        "s from the start of the cell's process to that of the round; empty: not recorded, or of an earlier process",
    ),
    "seconds": Column("float64", "s, of the whole round"),
    "steps": Column("Int64", "steps in the round; empty for an earlier try of a cell without that phase"),
    "samples": Column("Int64", "samples in the round; empty for an earlier try of a cell without that phase"),
    "step_time_s": Column("float64", "s, seconds / steps"),
    "throughput_samples_per_s": Column("float64", "samples / s, samples / seconds"),
    "status": Column(
        "str",
        "ok, failed, hole, missing (planned, no file), unreadable (file set aside) or earlier try (killed or "
        "disturbed; the cell was measured once more)",
    ),
    "reason": Column("str", "one line for every status but ok"),
    "data_identity": Column("str", "genuine, equivalent, other or synthetic"),
    "cell": Column("str", "id of the cell, name of its file in cells/"),
}
CURVES = {
    **WHERE,
    "epoch": Column("Int64", "numbered from 1"),
    "split": Column("str", "train (training mode, mean over the epoch) or validation"),
    "metric": Column("str", "loss, accuracy, …"),
    "value": Column("float64", "of the metric, in the metric's unit"),
    "train_s": Column("float64", "s, of the epoch's training"),
    "validate_s": Column("float64", "s, of the validation after it"),
    "status": Column("str", "of the cell: ok, or why it does not count"),
    "cell": Column("str", "id of the cell, name of its file in cells/"),
}


def measurements(folder: Folder) -> pd.DataFrame:
    """Every round of every cell, columns as documented above."""
    table = _Table(MEASUREMENTS, "round", "warmup", "tainted", "counted", "start_s", "seconds")
    for cell in folder.everything:
        base = _base(folder, cell) | {"status": cell.status, "reason": cell.reason}
        phases = derived.phases(cell)
        size = _size(phases.get("train_step"))  # a step of a try that does not count is as long as in the one that does
        for earlier in cell.tries:
            shared = base | size | {"phase": "train_step", "status": "earlier try", "reason": earlier.reason}
            uncounted = [0] * len(earlier.rounds_s)
            table.add(shared, seconds=earlier.rounds_s, **_numbered(earlier.rounds_s), counted=uncounted)
        for phase in phases.values():
            table.add(base | _size(phase) | {"phase": phase.name}, **_rounds(phase))
        if not any(phase.rounds_s for phase in phases.values()):
            table.add(base)
    planned = {entry.id: entry for entry in folder.run.plan}
    for entry in folder.set_aside:
        if entry.file.startswith("cells/"):
            known = _base(folder, planned[entry.cell]) if entry.cell in planned else {"cell": entry.cell}
            table.add({**known, "run": folder.run.id, "status": "unreadable", "reason": entry.reason})
    for missing in folder.missing():
        reason = folder.run.arms[missing.arm].hole or "planned, not measured"
        table.add(_base(folder, missing) | {"status": "missing", "reason": reason})
    frame = table.frame()
    steps, samples = (frame[name].to_numpy("float64", na_value=np.nan) for name in ("steps", "samples"))
    return frame.assign(step_time_s=frame["seconds"] / steps, throughput_samples_per_s=samples / frame["seconds"])


def curves(folder: Folder) -> pd.DataFrame:
    """Every point of every learning curve, columns as documented above."""
    table = _Table(CURVES, "metric", "value")
    for cell in (cell for cell in folder.cells if cell.curve):
        base = _base(folder, cell) | {"status": cell.status}
        for point in cell.curve:
            times = {"epoch": point.epoch, "train_s": point.train_s, "validate_s": point.validate_s}
            for split, metrics in (("train", point.train), ("validation", point.validation)):
                table.add(base | times | {"split": split}, metric=list(metrics), value=list(metrics.values()))
    return table.frame()


def to_csv(frame: pd.DataFrame) -> bytes:
    """The frame as CSV: floats so that they read back equal, text that no spreadsheet runs as a formula."""
    shown = frame.copy()
    for column in shown.columns:
        if pd.api.types.is_string_dtype(shown[column]):
            shown[column] = shown[column].map({value: _harmless(value) for value in shown[column].unique()})
    return shown.to_csv(index=False, lineterminator="\n").encode()


def _harmless(value: str) -> str:
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value


def _base(folder: Folder, cell: record.Cell | record.PlannedCell) -> dict[str, Any]:
    return {
        "run": folder.run.id,
        "workload": cell.workload,
        "arm": cell.arm,
        "label": cell.label,
        "device": cell.device,
        "block": cell.block,
        "data_identity": workload.data.identity if (workload := folder.run.workloads.get(cell.workload)) else "",
        "cell": cell.id,
    }


def _size(phase: derived.Phase | None) -> dict[str, int]:
    return {} if phase is None else {"steps": phase.steps_per_round, "samples": phase.samples_per_round}


def _numbered(rounds: Sequence[float]) -> dict[str, Sequence[int]]:
    return {"round": range(1, len(rounds) + 1)}


def _rounds(phase: derived.Phase) -> dict[str, Sequence[Any]]:
    count, warmup = len(phase.rounds_s), phase.warmup_rounds
    return _numbered(phase.rounds_s) | {
        "warmup": [1] * warmup + [0] * (count - warmup),
        "tainted": phase.tainted,
        "counted": phase.counted,
        "start_s": phase.starts_s and (math.nan,) * phase.earlier_rounds + phase.starts_s,
        "seconds": phase.rounds_s,
    }


class _Table:
    """Rows that come in stretches, alike in all but their own columns: a run may have hundreds of thousands."""

    def __init__(self, columns: Mapping[str, Column], *own: str) -> None:
        self.columns = columns
        self.own: dict[str, list[Iterable[Any]]] = {name: [] for name in own}
        self.shared: list[Mapping[str, Any]] = []
        self.counts: list[int] = []

    def add(self, shared: Mapping[str, Any], **own: Sequence[Any]) -> None:
        """A row per value of the own columns given, all of one length; a single row where none is given."""
        count = len(next(iter(own.values()))) if own else 1
        for name, parts in self.own.items():
            parts.append(own.get(name) or itertools.repeat(math.nan, count))
        self.shared.append(shared)
        self.counts.append(count)

    def frame(self) -> pd.DataFrame:
        found, rows = {}, sum(self.counts)
        for name, column in self.columns.items():
            if name in self.own:
                found[name] = _array(itertools.chain.from_iterable(self.own[name]), rows, column.dtype)
            else:
                empty = "" if column.dtype == "str" else math.nan
                values = [empty if (value := shared.get(name)) is None else value for shared in self.shared]
                found[name] = _array(values, len(values), column.dtype).repeat(self.counts)
        return pd.DataFrame(found, copy=False)


def _array(values: Iterable[Any], count: int, dtype: Any) -> Any:
    if dtype == "str":
        return pd.Series(list(values), dtype=dtype).array
    return pd.Series(np.fromiter(values, dtype="float64", count=count)).astype(dtype).array  # integers with gaps too
