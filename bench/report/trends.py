"""The step time of every arm over the runs of one series: a row per arm, its levels, its confirmed changes.

The data behind the figure: a row per arm and run in which it has a step time; `low_s` and `high_s` are the ends of the
interval within the run (empty: one block), `level_s` the level that held then, `state` what the run is to the runs
before it (`bench.history.levels`). Times are in seconds.
"""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench import wording
from bench.compare.differences import table
from bench.history import Series
from bench.history.levels import Point, Trend
from bench.record import Run
from bench.report.markdown import visible
from bench.report.style import FAINT, WIDTH_IN, Look, label, marks

CHANGE = "#222222"
SMALLEST_SPAN = math.log(1.05)
"""An axis reaches at least so far both ways, in logs, so that noise does not look like news."""
LABELS = 8
MANY = 40
"""Runs; the markers of more are smaller."""


def commit(run: Run, longest: int = 7) -> str:
    """The start of the commit; a + behind it: with uncommitted changes. Empty where it is not known."""
    git = table(run.environment, "git")
    known = visible(git.get("commit") or "")
    return known[:longest] + ("+" if known and git.get("dirty") else "")


def title(machine: int, series: Series) -> str:
    """What a series is called, with names as a figure shows them; `machine` is numbered from 1."""
    again = f", series {series.number}" if series.number > 1 else ""
    return f"{label(series.workload)} on {label(series.device)}, machine {machine}{again}"


def data(series: Series) -> pd.DataFrame:
    """The data behind the figure, arms in the order of its rows."""
    rows: list[dict[str, object]] = []
    for arm, trend in series.trends.items():
        for point in trend.points:
            run = series.entries[point.place].run
            level = [found.step_s for found in trend.levels if found.first <= point.place][-1:]
            known = point.time.blocks > 1
            rows.append(
                {
                    "run": visible(run.id),
                    "started": visible(run.started),
                    "commit": commit(run, 40),
                    "workload": series.workload,
                    "device": visible(series.device),
                    "arm": visible(arm),
                    "step_s": point.time.ratio,
                    "low_s": point.time.low if known else None,
                    "high_s": point.time.high if known else None,
                    "blocks": point.time.blocks,
                    "level_s": level[0] if level else None,
                    "state": point.state,
                }
            )
    return pd.DataFrame(rows).astype({"low_s": "float64", "high_s": "float64", "level_s": "float64"})


def draw(series: Series, machine: int, looks: Mapping[str, Look]) -> Figure:
    """To be made under `style.context()`. All rows span the same ratio, so that a change has one height in all."""
    above, below, row = 0.78, 0.68, 0.86
    height = above + below + row * len(series.trends)
    figure = Figure(figsize=(WIDTH_IN, height))
    grid = figure.add_gridspec(
        len(series.trends), 1, left=0.25, right=0.955, bottom=below / height, top=1 - above / height, hspace=0.3
    )
    span = max(SMALLEST_SPAN, *(_half(trend) for trend in series.trends.values())) * 1.2
    runs = len(series.entries)
    for place, (arm, trend) in enumerate(series.trends.items()):
        axes = figure.add_subplot(grid[place])
        _row(axes, trend, looks[arm], span, runs)
        axes.set_xlim(-0.6, runs - 0.4)
        axes.set_ylabel(label(arm, 18), rotation=0, ha="right", va="center")
        axes.yaxis.set_label_coords(-0.085, 0.5)
        shown = _labelled(runs) if place == len(series.trends) - 1 else []
        axes.set_xticks(shown, [_name(series.entries[run].run) for run in shown])
        axes.tick_params(axis="x", length=2, labelsize=8)
    axes.set_xlabel("runs in the order of their start, with date and commit")
    identity = series.entries[0].run.workloads[series.workload].data.identity
    key = "whiskers: 95 % within the run; pale: level; hollow: off it; dashed: confirmed change"
    first = f"{title(machine, series)}: step time over {runs} runs, ms"
    figure.text(0.012, 1 - 0.1 / height, first, fontsize=11.5, fontweight="bold", va="top")
    figure.text(
        0.012,
        1 - 0.34 / height,
        f"{label(identity)} data; {key}",
        fontsize=9,
        color="#555555",
        va="top",
    )
    return figure


def _half(trend: Trend) -> float:
    """Half of what the trend spans, in logs."""
    times = [point.time.ratio for point in trend.points]
    return math.log(max(times) / min(times)) / 2


def _row(axes: Axes, trend: Trend, look: Look, span: float, runs: int) -> None:
    times = [point.time.ratio for point in trend.points]
    middle_ms = 1e3 * math.sqrt(min(times) * max(times))
    low_ms, high_ms = middle_ms * math.exp(-span), middle_ms * math.exp(span)
    size = 5.0 if runs <= MANY else 3.2
    for level in trend.levels:
        ends = [level.first - 0.45, level.last + 0.45]
        axes.plot(
            ends, [level.step_s * 1e3] * 2, color=look.colour, linewidth=4, alpha=0.25, zorder=1, solid_capstyle="butt"
        )
    for point in trend.points:
        _whisker(axes, point, look, low_ms, high_ms)
    for hollow in (True, False):
        chosen = [point for point in trend.points if (point.state in ("level", "changed")) != hollow]
        x, y = [float(point.place) for point in chosen], [point.time.ratio * 1e3 for point in chosen]
        marks(axes, x, y, look, size=size, hollow=hollow, edge=1.0 if hollow else None, zorder=3)
    for change in trend.changes:
        x_change = change.first - 0.5
        axes.axvline(x_change, color=CHANGE, linewidth=1, linestyle=(0, (3, 2)), zorder=2)
        ratio = f"\N{MULTIPLICATION SIGN} {wording.ratio(change.ratio).partition(' ')[0]}"
        right = x_change < 0.85 * runs
        x_text, side = (x_change + 0.006 * runs, "left") if right else (x_change - 0.006 * runs, "right")
        axes.text(
            x_text, 1, ratio, transform=axes.get_xaxis_transform(), fontsize=8, va="bottom", ha=side, color=CHANGE
        )
    axes.set_ylim(low_ms, high_ms)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(axis="y")
    axes.spines["left"].set_color(FAINT)


def _whisker(axes: Axes, point: Point, look: Look, low_ms: float, high_ms: float) -> None:
    if point.time.blocks == 1:
        return
    ends = [max(point.time.low * 1e3, low_ms), min(point.time.high * 1e3, high_ms)]
    axes.plot([point.place] * 2, ends, color=look.colour, linewidth=1, alpha=0.8, zorder=2)


def _labelled(runs: int) -> list[int]:
    """The places that get a label, the last one always."""
    every = -(-runs // LABELS)
    return list(range(runs - 1, -1, -every))[::-1]


def _name(run: Run) -> str:
    return f"{label(run.started[:10], 10)}\n{label(commit(run), 10)}"
