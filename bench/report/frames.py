"""The two tables behind everything in a report, as pandas frames and as the CSV files of the run.

`measurements.csv`: one row per cell, phase and round, raw. A cell without rounds (hole, failed, missing,
unreadable) is one row with empty figures. The rounds of an earlier try of a cell, which does not count, are rows of
their own before those of the try that does.

run, workload, arm, device, block    what was measured, in which block (numbered from 1); of a framework's matrix
                                     product the workload is ceiling and the block 0
label                                a2 for the second entry of the A/A control's arm, else empty
phase                                first_step, train_step, epoch, validate, converge, small_step, aside or ceiling
round                                number of the timed region in its phase, from 1; those measured again come last;
                                     from 1 in an earlier try too
warmup                               1 for a warm-up round (kept, not counted), else 0; empty for an earlier try
tainted                              1 for a round that something else on the machine disturbed, else 0; empty for an
                                     earlier try, of which only the reason is kept
counted                              1 for a round that enters the figures if the cell is ok: after the warm-up, and not
                                     tainted unless most of the phase's rounds are; 0 for an earlier try
start_s                              when the round began, since the cell's process was started; empty: not recorded
seconds                              of the whole round
steps, samples                       in the round; empty for an earlier try of a cell without that phase
step_time_s                          seconds / steps
throughput_samples_per_s             samples / seconds
status                               ok, failed, hole, missing (planned, no file), unreadable (file set aside) or
                                     earlier try (killed or disturbed; the cell was measured once more)
reason                               one line for every status but ok
data_identity                        genuine, equivalent, other or synthetic
cell                                 id of the cell, name of its file in `cells/`

`curves.csv`: one row per cell, epoch, split and metric.

run, workload, arm, label, device, block   as above
epoch                                from 1
split                                train (training mode, mean over the epoch) or validation
metric, value                        loss, accuracy, …
train_s, validate_s                  seconds of that epoch's training and of its validation
status, cell                         as above

Text that a spreadsheet would take for a formula gets a leading apostrophe.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench import derived, record
from bench.report.folder import Folder

MEASUREMENTS = {
    "run": "str",
    "workload": "str",
    "arm": "str",
    "label": "str",
    "device": "str",
    "block": "Int64",
    "phase": "str",
    "round": "Int64",
    "warmup": "Int64",
    "tainted": "Int64",
    "counted": "Int64",
    "start_s": "float64",
    "seconds": "float64",
    "steps": "Int64",
    "samples": "Int64",
    "step_time_s": "float64",
    "throughput_samples_per_s": "float64",
    "status": "str",
    "reason": "str",
    "data_identity": "str",
    "cell": "str",
}
CURVES = {
    "run": "str",
    "workload": "str",
    "arm": "str",
    "label": "str",
    "device": "str",
    "block": "Int64",
    "epoch": "Int64",
    "split": "str",
    "metric": "str",
    "value": "float64",
    "train_s": "float64",
    "validate_s": "float64",
    "status": "str",
    "cell": "str",
}


def measurements(folder: Folder) -> pd.DataFrame:
    """Every round of every cell, columns as documented above."""
    rows: list[dict[str, Any]] = []
    for cell in folder.everything:
        base = _base(folder, cell) | {"status": cell.status, "reason": cell.reason or ""}
        rounds = [
            {
                **base,
                "phase": phase.name,
                "round": number,
                "warmup": int(number <= phase.warmup_rounds),
                "tainted": int(tainted),
                "counted": int(counted),
                "start_s": start_s,
                "seconds": seconds,
                "steps": phase.steps_per_round,
                "samples": phase.samples_per_round,
                "step_time_s": seconds / phase.steps_per_round,
                "throughput_samples_per_s": phase.samples_per_round / seconds,
            }
            for phase in derived.phases(cell).values()
            for number, (seconds, start_s, tainted, counted) in enumerate(_rounds(phase), start=1)
        ]
        rows += [*_earlier(cell, base), *(rounds or [base])]
    planned = {entry.id: entry for entry in folder.run.plan}
    for entry in folder.set_aside:
        if entry.file.startswith("cells/"):
            known = _base(folder, planned[entry.cell]) if entry.cell in planned else {"cell": entry.cell}
            rows.append({**known, "run": folder.run.id, "status": "unreadable", "reason": entry.reason})
    rows += [
        _base(folder, cell) | {"status": "missing", "reason": folder.run.arms[cell.arm].hole or "planned, not measured"}
        for cell in folder.missing()
    ]
    return _frame(rows, MEASUREMENTS)


def _earlier(cell: record.Cell, base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rounds of tries that do not count; a step is as long as in the try that does."""
    step = derived.phases(cell).get("train_step")
    for earlier in cell.tries:
        for number, seconds in enumerate(earlier.rounds_s, start=1):
            row = {"phase": "train_step", "round": number, "counted": 0, "seconds": seconds}
            if step is not None:
                row |= {
                    "steps": step.steps_per_round,
                    "samples": step.samples_per_round,
                    "step_time_s": seconds / step.steps_per_round,
                    "throughput_samples_per_s": step.samples_per_round / seconds,
                }
            yield base | {"status": "earlier try", "reason": earlier.reason} | row


def _rounds(phase: derived.Phase) -> Iterator[tuple[float, float | None, bool, bool]]:
    """Seconds, start, tainted and counted of every round."""
    starts_s = (*phase.starts_s, *[None] * (len(phase.rounds_s) - len(phase.starts_s)))
    return zip(phase.rounds_s, starts_s, phase.tainted, phase.counted, strict=True)


def curves(folder: Folder) -> pd.DataFrame:
    """Every point of every learning curve, columns as documented above."""
    rows = [
        {
            **_base(folder, cell),
            "status": cell.status,
            "epoch": point.epoch,
            "split": split,
            "metric": metric,
            "value": value,
            "train_s": point.train_s,
            "validate_s": point.validate_s,
        }
        for cell in folder.cells
        for point in cell.curve
        for split, metrics in (("train", point.train), ("validation", point.validation))
        for metric, value in metrics.items()
    ]
    return _frame(rows, CURVES)


def to_csv(frame: pd.DataFrame) -> bytes:
    """The frame as CSV: floats so that they read back equal, text that no spreadsheet runs as a formula."""
    shown = frame.copy()
    for column in shown.columns:
        if pd.api.types.is_string_dtype(shown[column]):
            shown[column] = shown[column].map(_harmless)
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


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    texts = [name for name, dtype in columns.items() if dtype == "str"]
    frame[texts] = frame[texts].fillna("")
    return frame.astype(columns)
