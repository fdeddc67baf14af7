"""Throughput and epoch time of one contest: a marker per block, a bar at the median, ranked, holes with their reason.

Beside each arm stands its time against the fastest arm's, with the 95 % interval and the blocks that both have.

A function that draws returns a Figure made under `style.context()`, or None where nothing was measured; the one beside
it returns the data behind that figure: a row per arm and block, arms as they are drawn, an arm without figures as one
row with its reason in `unmeasured`. `median` is that of the arm's blocks; `time_ratio`, `low`, `high` and
`common_blocks` are its time over the fastest's with the 95 % interval (empty: there is none) and the blocks behind it.
"""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench import wording
from bench.report import verdicts
from bench.report.contest import Contest, by_block
from bench.report.style import GREY, WIDTH_IN, Look, heading, label, marks
from bench.stats import Spread, median
from bench.wording import number


def throughput(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """Samples per second of the training step, fastest arm on top."""
    return _dots(
        contest,
        looks,
        {arm.arm: arm.throughput for arm in contest.arms},
        "train_step",
        "throughput_samples_per_s",
        subject="training throughput",
        axis="samples per second, one training step on staged batches (more is faster)",
    )


def throughput_data(contest: Contest) -> pd.DataFrame:
    """The data of `throughput`; column `samples_per_s` is the median of the block's counted rounds."""
    spreads = {arm.arm: arm.throughput for arm in contest.arms}
    return _data(contest, spreads, "train_step", "throughput_samples_per_s", "samples_per_s")


def epoch_time(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """Seconds of one training epoch, the way a user of the framework trains, fastest arm on top."""
    steps = contest.cut_epoch_steps or contest.spec.steps_per_epoch
    return _dots(
        contest,
        looks,
        {arm.arm: arm.epoch_s for arm in contest.arms},
        contest.epoch_phase,
        "seconds",
        subject="training epoch",
        axis=f"seconds per epoch of {steps:,} steps, the high-level loop included (less is faster)",
    )


def epoch_time_data(contest: Contest) -> pd.DataFrame:
    """The data of `epoch_time`; column `epoch_s` is the median of the block's epochs."""
    return _data(contest, {arm.arm: arm.epoch_s for arm in contest.arms}, contest.epoch_phase, "seconds", "epoch_s")


def _data(contest: Contest, spreads: Mapping[str, Spread | None], phase: str, column: str, unit: str) -> pd.DataFrame:
    beside = verdicts.beside_fastest(contest, phase)
    reasons = {arm.arm: arm.unmeasured or "not measured" for arm in contest.arms}
    rows: list[dict[str, object]] = []
    for arm in _order(contest, phase):
        spread = spreads[arm]
        if spread is None:
            rows.append({"arm": arm, "unmeasured": reasons[arm]})
            continue
        against = {}
        if arm in beside:
            effect = beside[arm].effect
            ends = {} if math.isinf(effect.high) else {"low": effect.low, "high": effect.high}
            against = {"time_ratio": effect.ratio, **ends, "common_blocks": effect.blocks}
        rows += [
            {"arm": arm, "block": block, unit: median(values), "median": spread.median, "unmeasured": "", **against}
            for block, values in by_block(contest.rounds, arm, phase, column).items()
        ]
    columns = ["arm", "block", unit, "median", "time_ratio", "low", "high", "common_blocks", "unmeasured"]
    return pd.DataFrame(rows, columns=columns).astype({"block": "Int64", "common_blocks": "Int64"})


def _order(contest: Contest, phase: str) -> list[str]:
    """Arms with figures, fastest first, then those without in the run's order."""
    first = [arm.arm for arm in (contest.ranked if phase == "train_step" else contest.trained)]
    return first + [arm.arm for arm in contest.arms if arm.arm not in first]


def _dots(
    contest: Contest,
    looks: Mapping[str, Look],
    spreads: Mapping[str, Spread | None],
    phase: str,
    column: str,
    *,
    subject: str,
    axis: str,
) -> Figure | None:
    measured = {arm: spread for arm, spread in spreads.items() if spread}
    if not measured:
        return None
    beside = verdicts.beside_fastest(contest, phase)
    rows = _order(contest, phase)
    above, below, row = 0.86, 0.58, 0.43
    height = above + below + row * len(rows)
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = figure.add_axes((0.25, below / height, 0.42, row * len(rows) / height))
    for place, arm in enumerate(rows):
        if arm in measured:
            blocks = by_block(contest.rounds, arm, phase, column)
            _row(axes, place, looks[arm], measured[arm], [median(values) for values in blocks.values()])
            effect = beside[arm].effect if arm in beside else None
            alone = "fastest" if place == 0 else "no block in common"
            ratio, common = (wording.ratio(effect), effect.blocks) if effect else (alone, measured[arm].blocks)
            _beside(axes, place, number(measured[arm].median), ratio, common)
        else:
            why = next(entry.unmeasured for entry in contest.arms if entry.arm == arm) or "not measured in this phase"
            where = axes.get_yaxis_transform()
            axes.text(0.01, place, label(why, 60), transform=where, va="center", color=GREY, fontsize=8, style="italic")
    _beside(axes, -0.68, "median", "time / fastest's", "blocks", color="#555555", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [label(arm) for arm in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, max(spread.high for spread in measured.values()) * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(axis)
    heading(
        figure,
        contest,
        subject,
        "markers: blocks; bar: their median; ratio: geometric mean over common blocks, 95 % interval",
    )
    return figure


def _row(axes: Axes, place: int, look: Look, spread: Spread, blocks: list[float]) -> None:
    axes.plot([0, spread.median], [place, place], color=look.colour, linewidth=1.2, alpha=0.35, zorder=1)
    axes.plot([spread.median] * 2, [place - 0.42, place + 0.42], color="#222222", linewidth=1.5, zorder=2)
    lanes = [place + 0.62 * ((block + 0.5) / len(blocks) - 0.5) for block in range(len(blocks))]
    marks(axes, blocks, lanes, look, size=5, zorder=3)


def _beside(axes: Axes, place: float, *columns: object, color: str = "black", fontsize: float = 9.5) -> None:
    for x, value in zip((1.155, 1.62, 1.756), columns, strict=True):
        where = axes.get_yaxis_transform()
        axes.text(x, place, str(value), transform=where, va="center", ha="right", color=color, fontsize=fontsize)
