"""The figures of the broken head: how live its starts are, and how it learns from them beside the head `logits`."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

from bench.judgement import dead_start
from bench.judgement.dead_start import STATES, State
from bench.judgement.trainings import Training
from bench.record import SHARED, Start
from bench.report.captions import heading, legend
from bench.report.judgement_read import Judged
from bench.report.style import WIDTH_IN, label

COLOURS: dict[str, str] = {"dead": "#D55E00", "partly live": "#E69F00", "live": "#009E73", "not looked at": "#767676"}
LOGITS = "#0072B2"
BINS = 20
"""Of the shares between 0 and 1; the two ends have a bar of their own."""
LOGITS_HEAD = "logits"


def share_data(judged: Judged) -> pd.DataFrame:
    """A row per start: initialiser, seed, state, live, samples, share, below, low, median, high (of the outputs)."""
    rows = [
        (s.initialiser, s.seed, dead_start.state(s), s.live, s.samples, s.live / s.samples, s.below, s.low, s.median,
         s.high)
        for s in judged.starts
    ]  # fmt: skip
    names = ["initialiser", "seed", "state", "live", "samples", "share", "below", "low", "median", "high"]
    return pd.DataFrame(rows, columns=names)


def share(frame: pd.DataFrame, identity: str) -> Figure:
    """A row per initialiser: so many seeds have so large a share; dead and fully live ones apart from the others."""
    initialisers = list(dict.fromkeys(map(str, frame["initialiser"])))
    top, row, bottom = 0.88, 1.25, 0.62
    height = top + row * len(initialisers) + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    grid = drawn.add_gridspec(
        len(initialisers), 1, left=0.095, right=0.985, bottom=bottom / height, top=1 - top / height, hspace=0.4
    )
    found: list[Axes] = []
    for place, initialiser in enumerate(initialisers):
        axes = drawn.add_subplot(grid[place])
        mine = frame[frame["initialiser"] == initialiser]
        _bars(axes, mine)
        counts = ", ".join(f"{int((mine['state'] == state).sum())} {state}" for state in STATES)
        title = "the suite's shared weights" if initialiser == SHARED else f"own weights: {label(initialiser)}"
        axes.set_title(f"{title}, {len(mine)} seeds: {counts}", loc="left", fontsize=9.5)
        axes.set_xticklabels([])
        found.append(axes)
    most = max(axes.get_ylim()[1] for axes in found)
    for axes in found:
        axes.set_ylim(0, most)
    found[-1].set_xticklabels(["none\n(dead)", "20 %", "40 %", "60 %", "80 %", "all\n(live)"])
    drawn.text(0.54, 0.012, "share of the training samples whose output has a gradient", ha="center", fontsize=9.5)
    key = "a bar counts seeds; outputs before the first step"
    heading(drawn, "starts under the published head", identity, key)
    return drawn


def _bars(axes: Axes, mine: pd.DataFrame) -> None:
    width = 1 / BINS
    places = {"dead": -width, "live": 1 + width}
    for state, x in places.items():
        axes.bar(x, int((mine["state"] == state).sum()), width=0.9 * width, color=COLOURS[state])
    between = mine[mine["state"] == "partly live"]["share"]
    counts, edges = np.histogram(between, bins=BINS, range=(0, 1))
    axes.bar(edges[:-1] + width / 2, counts, width=0.9 * width, color=COLOURS["partly live"])
    axes.set_xlim(-2 * width, 1 + 2 * width)
    axes.xaxis.set_major_locator(FixedLocator([-width, 0.2, 0.4, 0.6, 0.8, 1 + width]))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylabel("seeds")
    axes.grid(axis="y")


def curve_data(judged: Judged) -> pd.DataFrame:
    """A row per epoch, split and metric: workload, head, arm, seed, start, split, metric, epoch, value.

    Of trainings under the published head, and of those with logits of the same workloads. Empty without the former.
    """
    told = dead_start.outcomes(judged.run, judged.starts, judged.trainings)
    names = {outcome.training.name for outcome in told}
    beside = [
        training
        for training in judged.trainings
        if training.name in names and judged.run.workloads[training.workload].head == LOGITS_HEAD
    ]
    rows = [
        (training.workload, judged.run.workloads[training.workload].head, training.arm, training.seed, start, split,
         metric, point.epoch, value)
        for training, start in [
            *((each.training, start_of(each.training, each.start)) for each in told),
            *((each, "") for each in beside),
        ]
        for point in training.points
        for split, metrics in (("train", point.train), ("validation", point.validation))
        for metric, value in metrics.items()
    ]  # fmt: skip
    columns = ["workload", "head", "arm", "seed", "start", "split", "metric", "epoch", "value"]
    return pd.DataFrame(rows if told else [], columns=columns)


def start_of(training: Training, start: Start | None) -> State | str:
    """How it started: a key of `COLOURS`."""
    if start is not None:
        return dead_start.state(start)
    return "dead" if training.dead else "not looked at"


def curves(frame: pd.DataFrame, identity: str) -> Figure:
    """Loss above accuracy, the published head left of logits, a line per training; validation only."""
    top, row, bottom = 0.98, 2.2, 0.85
    height = top + 2 * row + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    grid = drawn.add_gridspec(
        2, 2, left=0.095, right=0.985, bottom=bottom / height, top=1 - top / height, hspace=0.14, wspace=0.06
    )
    shown = frame[(frame["split"] == "validation")]
    heads: tuple[tuple[bool, str], ...] = ((True, "head as_published, by how the seed started"), (False, "head logits"))
    for line, metric in enumerate(("loss", "accuracy")):
        axes = [drawn.add_subplot(grid[line, column]) for column in range(2)]
        axes[1].sharey(axes[0])
        for each, (published, title) in zip(axes, heads, strict=True):
            mine = shown[(shown["metric"] == metric) & ((shown["head"] != LOGITS_HEAD) == published)]
            _lines(each, mine, (lambda start: COLOURS[start]) if published else (lambda start: LOGITS))
            if not line:
                each.set_title(title, loc="left", fontsize=9.5)
                each.set_yscale("log")
                each.yaxis.set_major_locator(FixedLocator([0.3, 0.5, 1, 2, 4, 8]))
                each.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                each.yaxis.set_minor_locator(FixedLocator([]))
            each.grid(axis="y")
            each.xaxis.set_major_locator(MaxNLocator(11, integer=True))
            each.tick_params(labelbottom=bool(line), labelleft=published)
            if line:
                each.set_xlabel("epoch")
        axes[0].set_ylabel(f"validation {metric}")
    starts = [state for state in COLOURS if state in set(frame["start"])]
    entries = [drawn.axes[0].plot([], [], color=COLOURS[start], label=f"start: {start}")[0] for start in starts]
    if (frame["head"] == LOGITS_HEAD).any():
        entries.append(drawn.axes[0].plot([], [], color=LOGITS, label="logits")[0])
    legend(drawn, entries)
    names = " and ".join(dict.fromkeys(label(str(name).partition(".")[0]) for name in frame["workload"]))
    heading(
        drawn, f"{names}: learning under the published head", identity, "a line per training; a dead one never moves"
    )
    return drawn


def _lines(axes: Axes, frame: pd.DataFrame, colour: Callable[[str], str]) -> None:
    for (_, _, _, start), mine in frame.groupby(["workload", "arm", "seed", "start"], sort=False):
        axes.plot(mine["epoch"], mine["value"], color=colour(str(start)), linewidth=1.4, alpha=0.85)
