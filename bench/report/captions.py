"""What stands around a figure: its heading, its legend, and the ends of a metric's axis."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from bench.report.style import WIDTH_IN, label

CLOSEST = 0.02
"""An axis of a metric spans no less."""
LINE_IN = 0.2
"""Height of a line of a legend."""


def heading(figure: Figure, subject: str, identity: str, key: str) -> None:
    """The subject in bold, the data's identity and the key in grey under it, at the figure's top left."""
    height = figure.get_figheight()
    figure.text(0.012, 1 - 0.1 / height, subject, fontsize=11.5, fontweight="bold", va="top")
    second = f"{label(identity)} data; {key}"
    figure.text(0.012, 1 - 0.34 / height, second, fontsize=9, color="#555555", va="top")


def legend(figure: Figure, entries: Sequence[Line2D], columns: int = 4) -> Legend:
    """Under the axes."""
    return figure.legend(
        handles=list(entries), loc="lower left", bbox_to_anchor=(0.075, 0.0), ncols=columns, frameon=False, fontsize=9,
        handlelength=1.8, columnspacing=1.6,
    )  # fmt: skip


def fitting(entries: Sequence[Line2D], most: int = 4) -> tuple[int, float]:
    """How many columns of a legend fit into a figure's width, and the height in inches of its lines."""
    for columns in range(most, 1, -1):
        figure = Figure(figsize=(WIDTH_IN, 1.0))  # the real one's height hangs on the answer
        if legend(figure, entries, columns).get_window_extent().x1 <= figure.bbox.x1:
            break
    else:
        columns = 1
    return columns, LINE_IN * -(-len(entries) // columns)


def axis_limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of the axis of a metric, wide enough that a fraction of a margin does not fill it."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), (CLOSEST - (high - low)) / 2)
    return low - pad, high + pad
