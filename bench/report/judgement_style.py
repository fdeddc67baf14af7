"""What the figures on whole trainings have in common."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.style import label

CLOSEST = 0.02
"""An axis of a metric spans no less."""


def heading(figure: Figure, subject: str, identity: str, key: str) -> None:
    """The subject in bold, the data's identity and the key in grey under it, at the figure's top left."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.1 / height, subject, fontsize=11.5, fontweight="bold", va="top")
    second = f"{label(identity)} data; {key}"
    figure.text(0.012, 1 - 0.34 / height, second, fontsize=9, color="#555555", va="top")


def legend(figure: Figure, entries: Sequence[Line2D], columns: int = 4) -> None:
    """Under the axes."""
    figure.legend(
        handles=list(entries), loc="lower left", bbox_to_anchor=(0.075, 0.0), ncols=columns, frameon=False, fontsize=9,
        handlelength=1.8, columnspacing=1.6,
    )  # fmt: skip


def axis_limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of the axis of a metric, wide enough that a fraction of a margin does not fill it."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), (CLOSEST - (high - low)) / 2)
    return low - pad, high + pad
