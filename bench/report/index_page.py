"""The page over many runs, as blocks of Markdown: changes first, then machines with their trends, then every run."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from bench import compare, effects
from bench.compare.differences import gpu_names, shown
from bench.history import Entry, Machine, Series
from bench.history.levels import Point, Trend
from bench.record import Run
from bench.report.changes import changes
from bench.report.markdown import short, table, text
from bench.report.shelf import LeftOut, Listed
from bench.report.trends import commit, title
from bench.wording import number

Paths = Mapping[tuple[int, int], str]
"""Numbers of machine and series, both from 0 → path of the figure."""
STATES = {
    "level": "as before",
    "changed": "confirmed change",
    "to be confirmed": "to be confirmed",
    "alone": "off the level, alone",
    "unresolved": "unresolved",
}


def blocks(runs: Sequence[Listed], left_out: Sequence[LeftOut], machines: Sequence[Machine], paths: Paths) -> list[str]:
    """The page below its title."""
    found = [_facts(runs, left_out, machines)]
    if runs:
        found += ["## Changes", *changes(machines)]
    for place, machine in enumerate(machines):
        found += [f"## Machine {place + 1}", f"{_hardware(machine.entries[0].run)}: {_runs(len(machine.entries))}."]
        for order, series in enumerate(machine.series):
            found += _series(place, series, paths.get((place, order)))
    found += ["## Runs", _table(runs, machines)] if runs else []
    if left_out:
        lines = [f"- {short(each.folder)}: {text(each.reason)}" for each in left_out]
        found += ["## Left out", "\n".join(lines)]
    return [*found, *([_legend()] if runs else [])]


def caption(place: int, series: Series) -> str:
    """What a trend's figure shows, in words."""
    return f"step time of every arm over {len(series.entries)} runs: {title(place + 1, series)}"


def _facts(runs: Sequence[Listed], left_out: Sequence[LeftOut], machines: Sequence[Machine]) -> str:
    if not runs:
        return "No run here can be read."
    started = sorted(run.entry.run.started for run in runs)
    span = f"started {text(started[0])}" + (f" to {text(started[-1])}" if len(runs) > 1 else "")
    counted = f"{len(machines)} machine{'' if len(machines) == 1 else 's'}"
    words = f"{_runs(len(runs))} on {counted}, {span}."
    return words + (f" {len(left_out)} left out, with the reason below." if left_out else "")


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _hardware(run: Run) -> str:
    known = run.environment
    memory = known.get("memory_bytes")
    size = f"{memory / 2**30:.1f} GiB" if isinstance(memory, (int, float)) else "memory unknown"
    gpus = gpu_names(run)
    named = "GPU unknown" if gpus is None else f"GPU {short(', '.join(gpus) or 'none')}"
    cores, budget = (short(shown(known.get(key))) for key in ("logical_cores", "cpu_budget"))
    return f"{short(shown(known.get('cpu')))}, {cores} cores (CPU budget {budget}), {size}, {named}"


def _series(place: int, series: Series, path: str | None) -> list[str]:
    run = series.entries[0].run
    workload = run.workloads[series.workload]
    where = "step time" if series.phase == "train_step" else "step time in epochs"
    facts = f"{_runs(len(series.entries))} on {workload.data.identity} data; {where}; workload digest "
    facts += f"{text(workload.digest, 20)}, result schema {run.schema}, margin {100 * run.margin:g} %."
    rows = [_row(short(arm), series, trend) for arm, trend in series.trends.items()]
    header = ["arm", "last run is", "level since", "level, ms", "runs on it", "last run, ms", "last / level"]
    figure = [f"![{text(caption(place, series))}]({path})"] if path else []
    return [f"### {short(title(place + 1, series))}", facts, *figure, table(header, rows, left=3)]


def _row(arm: str, series: Series, trend: Trend) -> list[str]:
    last = trend.points[-1]
    measured = f"{number(last.time.ratio * 1e3)} {_within(last)}"
    if last.place != len(series.entries) - 1:
        measured += f", in {short(series.entries[last.place].run.id)}"
    if not trend.levels:
        return [arm, STATES[last.state], "-", "-", "-", measured, "-"]
    level = trend.levels[-1]
    since = short(series.entries[level.first].run.id)
    over = number(last.time.ratio / level.step_s)
    return [arm, STATES[last.state], since, number(level.step_s * 1e3), str(level.runs), measured, over]


def _within(point: Point) -> str:
    if math.isinf(point.time.high):
        return "(no interval)"
    return f"[{number(point.time.low * 1e3)}, {number(point.time.high * 1e3)}]"


def _table(runs: Sequence[Listed], machines: Sequence[Machine]) -> str:
    """The newest run first."""
    homes = {entry.run.id: place for place, machine in enumerate(machines) for entry in machine.entries}
    rows = []
    for listed in sorted(runs, key=lambda run: (run.entry.run.started, run.entry.run.id), reverse=True):
        run = listed.entry.run
        named = short(run.id)
        if listed.report:
            named = f"[{named}]({quote(os.fsencode(listed.folder))}/{listed.report})"
        data = dict.fromkeys(workload.data.identity for workload in run.workloads.values())
        rows.append(
            [
                named,
                text(run.started),
                text(commit(run) or "unknown"),
                short(run.device),
                str(homes[run.id] + 1),
                short(run.profile),
                ", ".join(map(text, data)),
                "; ".join(_verdicts(listed.entry)),
                _trust(listed),
            ]
        )
    header = ["run", "started", "commit", "device", "machine", "profile", "data"]
    header += ["shortest step time", "cells measured"]
    return table(header, rows, left=len(header))


def _verdicts(entry: Entry) -> Iterator[str]:
    """Of every workload the fastest arm, and how it stands to the next."""
    for workload in entry.run.workloads:
        arms = [arm for arm in entry.run.arms if (workload, arm) in entry.figures]
        first = compare.fastest(entry.run, entry.figures, workload, arms)
        if first is None:
            yield f"{short(workload)}: no step time"
            continue
        others = [arm for arm in arms if arm != first]
        second = compare.fastest(entry.run, entry.figures, workload, others)
        found = effects.effect(entry.figures[workload, first], entry.figures[workload, second]) if second else None
        if second is None or found is None:
            yield f"{short(workload)}: {short(first)}, with none beside it"
            continue
        verdict = effects.verdict(found, entry.run.margin)
        link = {"FASTER": "than", "SAME": "as", "SLOWER": "than", "UNRESOLVED": "against"}[verdict]
        yield f"{short(workload)}: {short(first)} {verdict} {link} {short(second)}"


def _trust(listed: Listed) -> str:
    run = listed.entry.run
    words = f"{listed.ok} of {len(run.plan)}"
    words += f", {listed.failed} failed" if listed.failed else ""
    words += f", {listed.set_aside} set aside" if listed.set_aside else ""
    return words + (", not finished" if run.finished is None else "")


def _legend() -> str:
    return (
        "How to read this: a series holds the runs that `bench compare` would compare: one machine, device, workload, "
        "data and result schema. A step time is the geometric mean of a run's blocks, its interval that within the "
        "run, which knows nothing of how a machine differs from day to day. A level is the geometric mean of the runs "
        "on it. A run lies off its level where its interval is wholly beyond the margin and it is farther from the "
        "level than 99 % of further runs would be, by the scatter of those before. A change is confirmed by two such "
        "runs in a row on one side; one is never enough, and a change of the machine is a change too. The interval of "
        "a confirmed change is a 95 % one from the scatter between runs. A run of one block has no interval and "
        "decides nothing. What a record does not hold keeps no two runs apart. A commit with a + had uncommitted "
        "changes."
    )
