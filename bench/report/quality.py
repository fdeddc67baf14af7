"""Speed against quality: what each arm's validation reaches after how many seconds of training."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench.report.contest import Contest
from bench.report.style import WIDTH_IN, Look, heading, label, marks

NARROWEST = 0.05
"""Of the middle of the axis, to either side of it."""


def quality_data(contest: Contest) -> pd.DataFrame:
    """Per arm and epoch: training seconds so far, and the validation metrics; medians over the blocks.

    Evaluation is off the clock. Columns: arm, epoch, train_s, then a column per metric.
    """
    points = contest.points[(contest.points["split"] == "validation") & (contest.points["label"] == "")]
    if points.empty:
        return pd.DataFrame(columns=["arm", "epoch", "train_s", *contest.spec.metrics])
    wide = points.pivot_table(
        index=["arm", "cell", "epoch", "train_s"], columns="metric", values="value", sort=False
    ).reset_index()
    wide["train_s"] = wide.groupby("cell", sort=False)["train_s"].cumsum()
    metrics = [metric for metric in contest.spec.metrics if metric in wide]
    found = wide.groupby(["arm", "epoch"], sort=False)[["train_s", *metrics]].median().reset_index()
    order = {arm.arm: place for place, arm in enumerate(contest.arms)}
    return found.sort_values(["arm", "epoch"], key=lambda column: column.map(order) if column.name == "arm" else column)


def quality(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """One panel per metric; a marker is an epoch, those of an arm joined in their order."""
    frame = quality_data(contest)
    metrics = [metric for metric in contest.spec.metrics if metric in frame]
    if frame.empty or not metrics or contest.judged:  # of those judged, the frontier shows more
        return None
    top, panel, bottom = 0.7, 2.5, 0.85
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    grid = drawn.add_gridspec(
        1, len(metrics), left=0.095, right=0.985, bottom=bottom / height, top=1 - top / height, wspace=0.26
    )
    for place, metric in enumerate(metrics):
        axes = drawn.add_subplot(grid[place])
        for arm, mine in frame.groupby("arm", sort=False):
            look = looks[str(arm)]
            axes.plot(mine["train_s"], mine[metric], color=look.colour, linewidth=1.2, alpha=0.6, zorder=1)
            marks(axes, mine["train_s"], mine[metric], look, size=7, zorder=2)
        axes.set_xlim(left=0)
        axes.set_xlim(right=1.05 * float(frame["train_s"].max()))
        axes.set_ylim(_limits(frame[metric]))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # no offset: the whole value at every tick
        axes.set_ylabel(f"validation {metric}")
        axes.set_xlabel("seconds of training, evaluation off the clock")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.grid(axis="both")
    handles = [
        drawn.axes[0].plot([], [], color=looks[arm].colour, marker=looks[arm].marker, label=label(arm))[0]
        for arm in dict.fromkeys(map(str, frame["arm"]))
    ]
    drawn.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.075, 0.0), ncols=5, frameon=False, fontsize=9)
    after = "one epoch" if contest.epochs == 1 else f"{contest.epochs} epochs"
    heading(
        drawn, contest, f"speed against quality, {after}", "a marker per epoch, medians over blocks; left is faster"
    )
    return drawn


def _limits(values: "pd.Series[float]") -> tuple[float, float]:
    """Ends of the axis: wide enough that differences far below what one seed decides do not fill it."""
    low, high = float(values.min()), float(values.max())
    half = max(0.65 * (high - low), NARROWEST * abs(low + high) / 2)
    return (low + high) / 2 - half, (low + high) / 2 + half
