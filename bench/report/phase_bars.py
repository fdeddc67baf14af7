"""Where a process's seconds go before and while it measures: one stacked bar per arm, cold and warm."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench import derived, stats
from bench.report.contest import Contest
from bench.report.style import WIDTH_IN, Look, heading, label

PARTS = {
    "start": ("interpreter", "data"),
    "import": ("import",),
    "build": ("build", "stage"),
    "compile, first step": ("first_step",),
    "warm-up": ("warm_up",),
    "steady steps": ("steady",),
}
"""What a bar is made of, by the parts of a ledger; epochs, validation and the suite's own work are left out."""
SHADES = ("#5B6B7B", "#8497A8", "#B3C1CC", "#D55E00", "#E69F00", "#56B4E9")


def phase_bars_data(contest: Contest) -> pd.DataFrame:
    """Columns arm, caches (`cold`: empty; `warm`: kept), cells, then seconds of every part: medians."""
    rows = []
    for arm in contest.arms:
        known = [cell for cell in contest.cells_of(arm.arm) if cell.block and cell.ledger]
        for caches, cells in (
            ("cold", [cell for cell in known if derived.cold(cell)]),
            ("warm", [cell for cell in known if not derived.cold(cell)]),
        ):
            ledgers = [derived.ledger(cell) for cell in cells]
            if ledgers:
                seconds = {
                    part: stats.median([sum(ledger[name] for name in names) for ledger in ledgers])
                    for part, names in PARTS.items()
                }
                rows.append({"arm": arm.arm, "caches": caches, "cells": len(cells), **seconds})
    return pd.DataFrame(rows, columns=["arm", "caches", "cells", *PARTS])


def phase_bars(contest: Contest, looks: Mapping[str, Look]) -> Figure | None:
    """Arms in the run's order, the cold bar above the warm one."""
    frame = phase_bars_data(contest)
    if frame.empty:
        return None
    above, below, row = 0.72, 0.9, 0.34
    height = above + below + row * len(frame)
    drawn = Figure(figsize=(WIDTH_IN, height))
    axes = drawn.add_axes((0.25, below / height, 0.725, row * len(frame) / height))
    places = range(len(frame))
    left = pd.Series(0.0, index=frame.index)
    for part, shade in zip(PARTS, SHADES, strict=True):
        axes.barh(places, frame[part], left=left, height=0.72, color=shade, edgecolor="white", linewidth=0.6)
        left += frame[part]
    names = [f"{label(arm)}, {caches}" for arm, caches in zip(frame["arm"], frame["caches"], strict=True)]
    axes.set_yticks(places, names)
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds of a cell's process, median over its cells")
    patches = [Patch(facecolor=shade, label=part) for part, shade in zip(PARTS, SHADES, strict=True)]
    drawn.legend(handles=patches, loc="lower left", bbox_to_anchor=(0.075, 0.0), ncols=6, frameon=False, fontsize=9,
                 handlelength=1.2, columnspacing=1.2)  # fmt: skip
    heading(
        drawn,
        contest,
        "where the time goes",
        "to the end of the timed steps, without epochs; cold: block 1; warm: later ones",
    )
    return drawn
