"""Every round's step time in the order it ran, one row per arm: the noise, the drift and the warm-up to be seen."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench.report.style import FAINT, GREY, WIDTH_IN, Look, heading, label, marks
from bench.report.summary import ArmSummary, Contest, block_numbers


def rounds(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """Rounds of `train_step`, warm-up rounds hollow; a row's axis is made for the counted rounds."""
    arms = contest.ranked
    if not arms:
        return None
    steps = contest.rounds[contest.rounds["phase"] == "train_step"]
    blocks = block_numbers(steps)
    above, below, row = 0.72, 0.5, 0.78
    height = above + below + row * len(arms)
    figure = Figure(figsize=(WIDTH_IN, height))
    grid = figure.add_gridspec(
        len(arms), 1, left=0.25, right=0.985, bottom=below / height, top=1 - above / height, hspace=0.35
    )
    for place, arm in enumerate(arms):
        axes = figure.add_subplot(grid[place])
        _row(axes, arm, steps[steps["arm"] == arm.arm], looks[arm.arm], blocks)
        last = place == len(arms) - 1
        every = -(-len(blocks) // 12) if last else len(blocks) + 1
        shown = list(enumerate(blocks))[::every] if last else []
        axes.set_xticks([number + 0.5 for number, _ in shown], [f"block {block}" for _, block in shown])
        if last:
            axes.set_xlabel("rounds of each block, in the order they ran")
    key = "hollow: warm-up, not counted; carets: above the axis; line: median of block medians"
    heading(figure, contest, "step time of every round, ms", key)
    return figure


def _row(axes: Axes, arm: ArmSummary, rows: pd.DataFrame, look: Look, blocks: list[int]) -> None:
    step_ms = rows["step_time_s"] * 1e3
    counted = step_ms[rows["warmup"] == 0]
    margin = max(0.15 * (counted.max() - counted.min()), 0.01 * counted.max())
    edge = counted.max() + margin
    for place, block in enumerate(blocks):
        mine = rows[rows["block"] == block]
        x = place + 0.04 + 0.92 * (mine["round"] - 0.5) / max(1, len(mine))
        for hollow in (True, False):
            chosen = mine.index[(mine["warmup"] == 1) == hollow]
            marks(axes, x[chosen], step_ms[chosen], look, size=4, hollow=hollow, edge=0.9 if hollow else 0, zorder=3)
        beyond = x[step_ms[mine.index] > edge]  # drawn where it belongs, off the axis, and marked on its edge
        marks(axes, beyond, [edge] * len(beyond), look, marker=6, size=5, hollow=True, edge=0.9, clip=False, zorder=4)
    if arm.step_s:
        axes.axhline(arm.step_s.median * 1e3, color=GREY, linewidth=0.8, zorder=1)
    for number in range(1, len(blocks)):
        axes.axvline(number, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_xlim(0, len(blocks))
    axes.set_ylim(step_ms.min() - margin, edge)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_ylabel(label(arm.arm, 18), rotation=0, ha="right", va="center")
    axes.yaxis.set_label_coords(-0.085, 0.5)
    axes.tick_params(axis="x", length=0)
