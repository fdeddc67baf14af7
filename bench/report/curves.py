"""Learning curves as the source plots them: training as dots, validation as a line, one colour per arm."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.published import COLUMNS
from bench.report import published
from bench.report.contest import Contest
from bench.report.style import WIDTH_IN, Look, heading, label, marks

BOOK = Look("#BDBDBD", "o")


def values(contest: Contest, arm: str, split: str, metric: str) -> "pd.Series[float]":
    """Median over blocks by epoch (index); the A/A control's second entry is left out."""
    points = contest.points
    chosen = points[(points["contestant"] == arm) & (points["split"] == split) & (points["metric"] == metric)]
    return chosen.groupby("epoch")["value"].median()


def learning_data(contest: Contest) -> pd.DataFrame:
    """The data of `learning`: columns who (an arm, `published` or `naive`), split, metric, epoch, value."""
    metrics = [metric for metric in contest.spec.metrics if metric in set(contest.points["metric"])]
    book = published.beside(contest)
    rows: list[tuple[str, str, str, int | None, float]] = []
    for metric in metrics:
        for split in ("train", "validation"):
            drawn = {arm.arm: values(contest, arm.arm, split, metric) for arm in contest.arms}
            column = COLUMNS.get((split, metric))
            if book is not None and column in book:
                drawn["published"] = book.loc[: contest.epochs, column]
            rows += [
                (who, split, metric, int(str(epoch)), value)
                for who, curve in drawn.items()
                for epoch, value in curve.items()
            ]
        if metric == "loss" and contest.spec.naive_loss is not None:
            rows.append(("naive", "validation", metric, None, contest.spec.naive_loss))
    return pd.DataFrame(rows, columns=["who", "split", "metric", "epoch", "value"]).astype({"epoch": "Int64"})


def learning(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """One panel per metric; the published curve in grey where it may stand beside; the naive loss as a dashed line."""
    if not contest.has_curves:
        return None
    metrics = [metric for metric in contest.spec.metrics if metric in set(contest.points["metric"])]
    arms = [arm for arm in looks if arm in set(contest.points["arm"])]
    book = published.beside(contest)
    entries = _legend(looks, arms, book is not None, contest.epochs == 1)
    naive = contest.spec.naive_loss
    single = contest.epochs == 1
    top, bottom, panel = 0.66, (0.42 if single else 0.62) + 0.2 * -(-len(entries) // 4), 2.1 if single else 2.75
    height = top + panel + bottom
    figure = Figure(figsize=(WIDTH_IN, height))
    grid = figure.add_gridspec(
        1,
        len(metrics),
        left=0.095,
        right=0.985 if naive is None else 0.93,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=0.26,
    )
    for place, metric in enumerate(metrics):
        axes = figure.add_subplot(grid[place])
        _panel(axes, contest, looks, arms, book, metric)
        if metric == "loss" and naive is not None:
            axes.axhline(naive, color="black", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.text(
                1.01, naive, f"naive\n{naive:.3f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
            )
    figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(0.075, 0.0),
        ncols=4,
        frameon=False,
        fontsize=9,
        handlelength=1.8,
        columnspacing=1.6,
    )
    after = "after one epoch" if contest.epochs == 1 else f"over {contest.epochs} epochs"
    cut = (
        f" cut to {contest.cut_epoch_steps} of {contest.spec.steps_per_epoch} steps" if contest.cut_epoch_steps else ""
    )
    heading(figure, contest, f"learning, {after}{cut}", "medians over blocks, every arm from the same initial weights")
    return figure


def _panel(
    axes: Axes, contest: Contest, looks: Mapping[str, Look], arms: list[str], book: pd.DataFrame | None, metric: str
) -> None:
    """Published figures stand behind the arms, or in a slot of their own left of them when there is but one epoch."""
    single = contest.epochs == 1
    slots = len(arms) + (book is not None)
    shifts = [0.9 * ((slot + 0.5) / slots - 0.5) if single else 0.0 for slot in range(slots)]
    for split in ("train", "validation"):
        column = COLUMNS.get((split, metric))
        if book is not None and column in book:
            _draw(axes, book.loc[: contest.epochs, column], split, BOOK, shifts[0], single, 0)
        for shift, arm in zip(shifts[-len(arms) :], arms, strict=True):
            _draw(axes, values(contest, arm, split, metric), split, looks[arm], shift, single, 2)
    axes.set_ylabel(metric)
    axes.grid(axis="y")
    axes.margins(y=0.1)
    axes.set_xlim(0.5, contest.epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(11, integer=True))
    axes.set_xlabel("epoch")
    if single:
        axes.set_xticks([])
        axes.set_xlabel("epoch 1")


def _draw(
    axes: Axes, curve: "pd.Series[float]", split: str, look: Look, shift: float, single: bool, zorder: float
) -> None:
    x = [epoch + shift for epoch in curve.index]
    if split == "train":
        marks(axes, x, curve, look, size=6, zorder=zorder + 1)
    elif single:
        marks(axes, x, curve, look, marker="_", size=20, edge=2.4, zorder=zorder)
    else:
        axes.plot(x, curve, color=look.colour, linewidth=3 if look is BOOK else 1.6, zorder=zorder)


def _legend(looks: Mapping[str, Look], arms: list[str], book: bool, single: bool) -> list[Line2D]:
    def entry(look: Look, text: str, line: bool = True, marker: str | None = None) -> Line2D:
        return Line2D(
            [],
            [],
            color=look.colour,
            marker=marker or look.marker,
            linestyle="-" if line else "none",
            linewidth=3 if look is BOOK else 1.6,
            markersize=6,
            label=label(text, 24),
        )

    key = Look("#555555", "o")
    entries = [entry(looks[arm], arm) for arm in arms] + ([entry(BOOK, "published")] if book else [])
    validation = "bars: validation" if single else "lines: validation"
    return [*entries, entry(key, "markers: training", line=False), entry(key, validation, marker="None")]
