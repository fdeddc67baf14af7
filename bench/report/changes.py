"""The changes that a history has confirmed, in words: of which arm, since which run, and what else differs there."""

from collections.abc import Sequence

from bench import wording
from bench.compare.differences import differences
from bench.history import Machine, Series
from bench.history.levels import Change
from bench.record import Run
from bench.report.markdown import short, table, text
from bench.report.trends import title
from bench.wording import number

CUT = 20
"""Characters of a value that differs; `bench compare` has all."""


def changes(machines: Sequence[Machine]) -> list[str]:
    """Markdown blocks: a table of the confirmed changes, what else differs there, and what is to be confirmed."""
    rows, causes, waiting = [], [], []
    compared = 0
    for place, machine in enumerate(machines):
        for series in machine.series:
            compared += len(series.entries) > 1
            where = short(title(place + 1, series))
            firsts: dict[int, list[Change]] = {}
            for arm, trend in series.trends.items():
                for change in trend.changes:
                    rows.append([where, short(arm), *_change(series, change)])
                    firsts.setdefault(change.first, []).append(change)
                waiting += [
                    f"- {where}: {short(arm)}, {number(point.time.ratio / trend.levels[-1].step_s)} times its level "
                    f"in {_id(series.entries[point.place].run)}"
                    for point in trend.points
                    if point.state == "to be confirmed"
                ]
            causes += [f"- {where}, {_cause(series, found)}" for _, found in sorted(firsts.items())]
    if not compared:
        return ["No two runs here can be compared: a trend begins with the second run of a machine."]
    blocks = []
    if rows:
        header = ["workload", "arm", "since run", "confirmed by", "time after / before", "before, ms", "after, ms"]
        blocks += [table(header, rows, left=4), "What else differs from the run before:", "\n".join(causes)]
    else:
        blocks.append(f"No step time has changed for good, in {compared} series of two runs or more.")
    return blocks + (["To be confirmed by the next run:", "\n".join(waiting)] if waiting else [])


def _change(series: Series, change: Change) -> list[str]:
    runs = (series.entries[place].run for place in (change.first, change.second))
    return [*map(_id, runs), wording.ratio(change.ratio), number(change.before_s * 1e3), number(change.after_s * 1e3)]


def _cause(series: Series, changes: Sequence[Change]) -> str:
    """Of the changes that begin with one run: how many arms they are, and what the records know to differ."""
    first = series.entries[changes[0].first].run
    before = series.entries[max(change.before for change in changes)].run
    arms = sum(any(point.place == changes[0].first for point in trend.points) for trend in series.trends.values())
    words = f"{_id(first)} after {_id(before)}: {len(changes)} of {arms} arms"
    if len(changes) == arms > 1 and len({change.ratio.ratio > 1 for change in changes}) == 1:
        words += ", all the same way, as when the machine has changed"
    known = [each for each in differences(before, first) if each.workload in (None, series.workload)]
    named = [f"{text(each.what)} {_cut(each.a)} → {_cut(each.b)}" for each in known]
    return f"{words}; {'; '.join(named) or 'the records know of no difference'}."


def _cut(value: str) -> str:
    return text(value, CUT)


def _id(run: Run) -> str:
    return short(run.id)
