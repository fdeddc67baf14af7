"""MLPerf-style log lines: `:::MLLOG {json}`, an event a line, as the training benchmarks of MLCommons log.

Of the style, not of the competition. What has a key there is logged under it: submission_benchmark,
submission_platform, seed, opt_name, global_batch_size, train_samples and eval_samples; init_start and init_stop (start
of the process to the first round: interpreter, data, import); run_start and run_stop (first round to the end of the
last); epoch_start and epoch_stop, eval_start and eval_stop with `epoch_num`; eval_accuracy. Other metrics are
`eval_<metric>`; the rounds of another phase are one interval from `<phase>_start` to `<phase>_stop`, with their median
throughput as `tracked_stats`.

The namespace is the cell's id, `file` its record. `time_ms` is milliseconds since 1970: the cell's start, which the
record holds to the second, plus what it holds of an event since then, to the microsecond or better; only the epochs of
a `converge` cell are followed by a validation without a start of its own, which began when the epoch had ended. What
has no time in the record (schema 1 has none, nor have epochs that a killed process had trained) is not logged. A cell
without events is a comment line with the reason. A matrix product trains nothing and is not there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bench import derived, record, stats
from bench.derived import Phase
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible

MARK = ":::MLLOG "
START, END, POINT = "INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME"
EPOCHS, VALIDATION = ("epoch", "converge"), "validate"
"""Phases whose rounds are epochs, and the one whose rounds are validations."""

Event = tuple[float, str, str, Any, dict[str, Any]]
"""Seconds since the cell's start, event type, key, value, metadata."""


def export(folder: Folder, contests: Sequence[Contest]) -> bytes:
    """Every cell after the other in the order of the folder, its events in the order of time."""
    lines = [line for cell in folder.cells for line in _lines(folder, cell)]
    lines += [_comment(entry.file, f"set aside: {entry.reason}") for entry in folder.set_aside]
    lines += [
        _comment(cell.id, f"missing: {folder.run.arms[cell.arm].hole or 'planned, not measured'}")
        for cell in folder.missing()
    ]
    return "".join(lines).encode("ascii")


def _lines(folder: Folder, cell: record.Cell) -> Iterator[str]:
    origin_s = _origin_s(cell.started)
    if cell.status != "ok" or origin_s is None:
        no_time = f"started at {cell.started!r}, which is no time in UTC"
        yield _comment(cell.id, no_time if cell.status == "ok" else f"{cell.status}: {cell.reason}")
        return
    where = {"file": f"cells/{cell.id}.json", "lineno": 1}
    for at_s, kind, key, value, more in sorted(_events(folder, cell), key=lambda event: event[0]):
        event = {
            "namespace": cell.id,
            "time_ms": round((origin_s + at_s) * 1e3),
            "event_type": kind,
            "key": key,
            "value": value,
            "metadata": where | more,
        }
        yield f"{MARK}{_ascii(json.dumps(event))}\n"


def _comment(what: str, why: str) -> str:
    return f"# {_ascii(visible(what))}: {_ascii(visible(why))}\n"


def _ascii(line: str) -> str:
    """Readers take the file for Latin-1, and a line to begin at its last mark."""
    return line.replace(MARK, "\\u003a" + MARK[1:]).encode("ascii", "backslashreplace").decode()


def _origin_s(started: str) -> float | None:
    """UTC, in seconds since 1970; None for a record with something else in that place."""
    try:
        found = datetime.fromisoformat(started)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def _events(folder: Folder, cell: record.Cell) -> Iterator[Event]:
    spec, phases = folder.run.workloads[cell.workload], derived.phases(cell)
    about = {"run": folder.run.id, "arm": cell.arm, "label": cell.label, "block": cell.block}
    points: dict[str, Any] = {
        "submission_benchmark": cell.workload,
        "submission_platform": cell.device,
        "seed": cell.seed,
        "opt_name": spec.optimizer,
        "global_batch_size": spec.batch_size,
        "train_samples": next((phases[name].samples_per_round for name in EPOCHS if name in phases), None),
        "eval_samples": phases[VALIDATION].samples_per_round if VALIDATION in phases else None,
    }
    for key, value in points.items():
        if value is not None:
            yield 0.0, POINT, key, value, about
    timed = [*_measured([phase for phase in phases.values() if phase.starts_s]), *_validations(cell, phases)]
    if timed:
        run_s = min(event[0] for event in timed)
        yield 0.0, START, "init_start", None, {}
        yield run_s, END, "init_stop", None, {}
        yield run_s, START, "run_start", None, {}
        yield from timed
        yield max(event[0] for event in timed), END, "run_stop", None, {"status": "success"}


def _measured(timed: Sequence[Phase]) -> Iterator[Event]:
    for phase in timed:
        if phase.name in EPOCHS:
            first, rounds_s = 1 + phase.earlier_rounds, phase.rounds_s[phase.earlier_rounds :]
            for number, (start_s, seconds) in enumerate(zip(phase.starts_s, rounds_s, strict=True), first):
                size = {"epoch_num": number, "steps": phase.steps_per_round, "samples": phase.samples_per_round}
                yield start_s, START, "epoch_start", None, size
                yield start_s + seconds, END, "epoch_stop", None, size
        elif phase.name != VALIDATION:
            rounds = {"rounds": len(phase.rounds_s), "rounds_counted": sum(phase.counted)}
            size = rounds | {"steps_per_round": phase.steps_per_round, "samples_per_round": phase.samples_per_round}
            yield phase.starts_s[0], START, f"{phase.name}_start", None, size
            yield _end_s(phase), END, f"{phase.name}_stop", None, size
            if phase.counted_s:
                throughput = phase.samples_per_round / stats.median(phase.counted_s)
                yield _end_s(phase), POINT, "tracked_stats", {"throughput": throughput}, {"unit": "samples/s"} | rounds


def _validations(cell: record.Cell, phases: Mapping[str, Phase]) -> Iterator[Event]:
    """One for each point of the learning curve that has a time."""
    converge, validate = phases.get("converge"), phases.get(VALIDATION)
    for point in cell.curve:
        place = point.epoch - 1
        own = place - (converge.earlier_rounds if converge else 0)
        if converge and 0 <= own < len(converge.starts_s):
            start_s, seconds = converge.starts_s[own] + converge.rounds_s[place], point.validate_s
        elif validate and place < len(validate.starts_s):
            start_s, seconds = validate.starts_s[place], validate.rounds_s[place]
        else:
            continue
        number = {"epoch_num": point.epoch}
        yield start_s, START, "eval_start", None, number
        for metric, value in point.validation.items():
            yield start_s + seconds, POINT, f"eval_{metric}", value, number
        yield start_s + seconds, END, "eval_stop", None, number


def _end_s(phase: Phase) -> float:
    return phase.starts_s[-1] + phase.rounds_s[-1]
