"""The frontier of time against quality: what an arm has reached after so many seconds, and what nobody beats."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.judgement import time_to_target
from bench.judgement.trainings import Training
from bench.report.captions import axis_limits, fitting, heading, legend
from bench.report.style import WIDTH_IN, Look, label, marks

FRONTIER = "#000000"


def data(trainings: Sequence[Training]) -> pd.DataFrame:
    """Columns: arm, epoch, train_s (so far), value (the best so far), seeds, frontier (1: no point beats it)."""
    points = time_to_target.frontier(trainings)
    rows = [(p.arm, p.epoch, p.seconds, p.value, p.seeds, int(p.frontier)) for p in points]
    return pd.DataFrame(rows, columns=["arm", "epoch", "train_s", "value", "seeds", "frontier"])


def draw(frame: pd.DataFrame, trainings: Sequence[Training], target: float, looks: Mapping[str, Look]) -> Figure:
    """A marker per epoch and arm; the frontier as steps, since between two epochs nothing new is had."""
    first = trainings[0]
    arms = list(dict.fromkeys(map(str, frame["arm"])))
    entries = [
        *(Line2D([], [], color=looks[arm].colour, marker=looks[arm].marker, label=label(arm)) for arm in arms),
        Line2D([], [], color=FRONTIER, linewidth=3.2, alpha=0.28, label="frontier: nobody beats it"),
        Line2D([], [], color="#555555", linewidth=1, linestyle=(0, (4, 3)), label=f"target {target:.4g}"),
    ]
    columns, lines = fitting(entries)
    top, panel, bottom = 0.7, 3.0, 0.62 + lines
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    axes = drawn.add_axes((0.095, bottom / height, 0.885, panel / height))
    for arm, mine in frame.groupby("arm", sort=False):
        look = looks[str(arm)]
        axes.plot(mine["train_s"], mine["value"], color=look.colour, linewidth=1.1, alpha=0.6, zorder=2)
        marks(axes, mine["train_s"], mine["value"], look, size=6, zorder=3)
    best = frame[frame["frontier"] == 1].sort_values("train_s")
    left, right = 0.9 * float(frame["train_s"].min()), 1.1 * float(frame["train_s"].max())
    ends = [*best["train_s"], right], [*best["value"], best["value"].iloc[-1]]
    axes.plot(*ends, drawstyle="steps-post", color=FRONTIER, linewidth=3.2, alpha=0.28, zorder=1)
    axes.axhline(target, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xscale("log")  # an arm that takes half as long again lies as far to the right everywhere
    axes.set_xlim(left, right)
    axes.set_ylim(axis_limits([*frame["value"], target]))
    axes.set_xlabel("seconds of training, evaluation off the clock")
    axes.set_ylabel(f"best validation {first.metric} so far")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(axis="both")
    legend(drawn, entries, columns)
    counts = frame.drop_duplicates("arm")["seeds"]
    seeds = f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    key = f"a marker per epoch, {'one seed' if seeds == '1' else f'means over {seeds} seeds'}"
    heading(drawn, f"{label(first.workload, 40)} on {label(first.device)}: time against quality", first.identity, key)
    return drawn
