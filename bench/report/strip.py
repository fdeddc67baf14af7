"""Every round's step time in the order it ran, one row per arm: the noise, the drift and the warm-up to be seen."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench.report.contest import ArmSummary, Contest, block_numbers
from bench.report.style import FAINT, GREY, WIDTH_IN, Look, heading, label, marks

MOST_MARKS = 2_000
"""Of one row as shapes; more are drawn as an image in it, `DPI` dots an inch, or no browser would open it."""
MOST_BLOCKS = 100
"""That are set apart by a line."""
DPI = 200
FAR = 3.0
"""Times their median: what is farther up is marked at the edge, so that a few stalls do not flatten all others."""
COLUMNS = ["arm", "label", "block", "round", "warmup", "tainted", "counted"]


def rounds_data(contest: Contest) -> pd.DataFrame:
    """The data of `rounds`: columns as in measurements.csv, and `step_ms`; rows in the order of the figure."""
    steps = contest.rounds[contest.rounds["phase"] == "train_step"]
    found = [
        steps[steps["contestant"] == entry.contestant].sort_values(["block", "round"]) for entry in _entries(contest)
    ]
    rows = pd.concat(found) if found else steps.iloc[:0]
    return rows[COLUMNS].assign(step_ms=rows["step_time_s"] * 1e3)


def _entries(contest: Contest) -> list[ArmSummary]:
    """Ranked arms, the second entry of the A/A control below the first."""
    return [
        entry
        for arm in contest.ranked
        for entry in (arm, contest.control if contest.control and contest.control.arm == arm.arm else None)
        if entry and entry.step_s
    ]


def rounds(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """Rounds of `train_step`, warm-up rounds hollow, disturbed ones crossed; a row's axis is made for the counted ones.

    The second entry of the A/A control stands below the first.
    """
    entries = _entries(contest)
    if not entries:
        return None
    steps = contest.rounds[contest.rounds["phase"] == "train_step"]
    blocks = block_numbers(steps)
    above, below, row = 0.72, 0.5, 0.78
    height = above + below + row * len(entries)
    figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI)
    grid = figure.add_gridspec(
        len(entries), 1, left=0.25, right=0.985, bottom=below / height, top=1 - above / height, hspace=0.35
    )
    for place, arm in enumerate(entries):
        axes = figure.add_subplot(grid[place])
        _row(axes, arm, steps[steps["contestant"] == arm.contestant], looks[arm.arm], blocks)
        last = place == len(entries) - 1
        every = -(-len(blocks) // 12) if last else len(blocks) + 1
        shown = list(enumerate(blocks))[::every] if last else []
        axes.set_xticks([number + 0.5 for number, _ in shown], [f"block {block}" for _, block in shown])
        if last:
            axes.set_xlabel("rounds of each block, in the order they ran")
    crossed = "crosses: disturbed; " if (steps["tainted"] == 1).any() else ""
    key = f"hollow: warm-up; {crossed}carets: above the axis; line: median of blocks; each arm on its own scale"
    heading(figure, contest, "step time of every round, ms", key)
    return figure


def _row(axes: Axes, arm: ArmSummary, rows: pd.DataFrame, look: Look, blocks: list[int]) -> None:
    step_ms = rows["step_time_s"] * 1e3
    counted = step_ms[rows["counted"] == 1]
    highest = min(counted.max(), FAR * counted.median())
    margin = max(0.15 * (highest - counted.min()), 0.01 * highest)
    edge = highest + margin
    number_of = rows.groupby("block")["round"].transform("size")
    x = rows["block"].map({block: place for place, block in enumerate(blocks)}).astype(float)
    x = x + 0.04 + 0.92 * (rows["round"].astype(float) - 0.5) / number_of
    warmup, tainted = rows["warmup"] == 1, rows["tainted"] == 1
    for hollow in (True, False):
        chosen = (warmup == hollow) & ~tainted
        marks(axes, x[chosen], step_ms[chosen], look, size=4, hollow=hollow, edge=0.9 if hollow else 0, zorder=3)
    marks(axes, x[tainted], step_ms[tainted], look, marker="x", size=4, edge=0.9, zorder=3)
    beyond = x[step_ms > edge]  # drawn where it belongs, off the axis, and marked on its edge
    marks(axes, beyond, [edge] * len(beyond), look, marker=6, size=5, hollow=True, edge=0.9, clip=False, zorder=4)
    if len(rows) > MOST_MARKS:
        axes.set_rasterization_zorder(3.5)
    if arm.step_s:
        axes.axhline(arm.step_s.median * 1e3, color=GREY, linewidth=0.8, zorder=1)
    for number in range(1, len(blocks)) if len(blocks) <= MOST_BLOCKS else ():
        axes.axvline(number, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_xlim(0, len(blocks))
    axes.set_ylim(step_ms.min() - margin, edge)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    name = label(arm.arm, 18) + (f"\n({label(arm.label, 16)})" if arm.label else "")
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
    axes.yaxis.set_label_coords(-0.085, 0.5)
    axes.tick_params(axis="x", length=0)
