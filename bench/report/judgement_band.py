"""The published curve, and the band of ours over the seeds, by setting."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.judgement import book
from bench.judgement.trainings import Training
from bench.published import COMPARABLE, published_curve
from bench.record import Workload
from bench.report.captions import fitting, heading, legend
from bench.report.judgement_read import Judged
from bench.report.style import OKABE_ITO, WIDTH_IN, label

PUBLISHED = "#767676"


def places(judged: Judged) -> list[tuple[str, str]]:
    """Workloads, without settings, and devices that have a published curve and trainings to hold against it."""
    found = {
        (training.name, training.device): None
        for training in judged.trainings
        if training.identity in COMPARABLE
        and book.comparable(training)
        and published(judged, training.name) is not None
    }
    return list(found)


def variants(judged: Judged, name: str, device: str) -> dict[str, tuple[Training, ...]]:
    """Trainings of a workload on a device by its settings, as the run calls it."""
    return {
        workload: trainings
        for (workload, where), trainings in judged.groups().items()
        if workload.partition(".")[0] == name and where == device and judged.run.workloads[workload].published
    }


def published(judged: Judged, name: str) -> pd.DataFrame | None:
    """The published figures of a workload, by epoch; None for one that has none."""
    for key, spec in judged.run.workloads.items():
        if key.partition(".")[0] == name and spec.published:  # one with other batches or lengths has none
            return published_curve(spec.published.curve)
    return None


def data(judged: Judged, name: str, device: str) -> pd.DataFrame:
    """Columns: workload (with its settings), split, metric, epoch, published, low, median, high, seeds."""
    rows, figures = [], published(judged, name)
    assert figures is not None, "asked of `places` only"
    for workload, trainings in variants(judged, name, device).items():
        for curve in book.curves(figures, trainings):
            columns = zip(curve.published, curve.low, curve.middle, curve.high, strict=True)
            rows += [
                (workload, curve.split, curve.metric, epoch, *values, len(curve.seeds))
                for epoch, values in enumerate(columns, 1)
            ]
    names = ["workload", "split", "metric", "epoch", "published", "low", "median", "high", "seeds"]
    return pd.DataFrame(rows, columns=names)


def draw(frame: pd.DataFrame, name: str, device: str, workloads: Mapping[str, Workload]) -> Figure:
    """A panel per metric on the validation set; the published curve in grey."""
    metrics = list(dict.fromkeys(frame["metric"]))
    keys = list(dict.fromkeys(map(str, frame["workload"])))
    counts = frame.drop_duplicates("workload").set_index("workload")["seeds"]
    entries = [Line2D([], [], color=PUBLISHED, linewidth=2.2, linestyle=(0, (2, 1)), label="published, one training")]
    for key, colour in zip(keys, OKABE_ITO, strict=False):
        seeds = f"{counts[key]} seed" + ("" if counts[key] == 1 else "s")
        entries.append(Line2D([], [], color=colour, linewidth=1.6, label=f"{label(key, 32)}, {seeds}"))
    columns, lines = fitting(entries)
    top, panel, bottom = 0.7, 2.75, 0.62 + lines
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    grid = drawn.add_gridspec(
        1, len(metrics), left=0.095, right=0.985, bottom=bottom / height, top=1 - top / height, wspace=0.26
    )
    shown = frame[frame["split"] == "validation"]
    for place, metric in enumerate(metrics):
        axes = drawn.add_subplot(grid[place])
        for key, colour in zip(keys, OKABE_ITO, strict=False):
            mine = shown[(shown["workload"] == key) & (shown["metric"] == metric)]
            axes.fill_between(mine["epoch"], mine["low"], mine["high"], color=colour, alpha=0.2, linewidth=0, zorder=2)
            axes.plot(mine["epoch"], mine["median"], color=colour, linewidth=1.6, zorder=3)
            axes.plot(mine["epoch"], mine["published"], color=PUBLISHED, linewidth=2.2, linestyle=(0, (2, 1)), zorder=4)
        axes.set_ylabel(f"validation {metric}")
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        axes.margins(x=0.02, y=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(11, integer=True))
    legend(drawn, entries, columns)
    identity = next(workloads[key].data.identity for key in keys)
    bands = "middle 95 %" if counts.min() >= book.MANY else "smallest to largest"
    key = f"ours: median over seeds, band from {bands}" if counts.max() > 1 else "ours: one seed, no band"
    heading(drawn, f"{label(name)} on {label(device)}: the published curve and ours", identity, key)
    return drawn
