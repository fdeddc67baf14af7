"""How figures look: one colour and marker per arm everywhere, fonts drawn as paths, the same bytes every time."""

import functools
import io
import itertools
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.contest import Contest, Floats
from bench.report.markdown import visible

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B8A90B")
"""Okabe and Ito's palette (2008), told apart with every common colour blindness; yellow darkened for white paper."""
STOCK = ("keras-tensorflow", "keras-jax", "keras-torch", "torch-eager", "torch-compile")
"""Arms that look the same in every report, so that two of them can be held side by side."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
GREY = "#767676"
FAINT = "#D9D9D9"
DARK = {
    "#ffffff": "#16181c",
    "#000000": "#e8e8e8",
    "#222222": "#e8e8e8",
    "#555555": "#b8b8b8",
    "#767676": "#9c9c9c",
    "#d9d9d9": "#4a4a4a",
    "#e6e6e6": "#34373c",
}
"""What each colour of paper, ink and rules becomes on a dark screen; the colours of arms are seen on both."""
FONT = "DejaVu Sans"  # matplotlib brings it along, so every machine draws the same paths
WIDTH_IN = 8.0


@dataclass(frozen=True)
class Look:
    """What an arm looks like."""

    colour: str
    marker: str


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """Colour and marker by arm: the stock arms' own, whatever else is in the run; others take those left, in order."""
    names = list(dict.fromkeys(arms))
    places = {arm: STOCK.index(arm) for arm in names if arm in STOCK}
    free = itertools.count(len(STOCK))
    return {arm: _look(places[arm] if arm in places else next(free)) for arm in names}


def _look(place: int) -> Look:
    return Look(OKABE_ITO[place % len(OKABE_ITO)], MARKERS[(place + place // len(OKABE_ITO)) % len(MARKERS)])


def context() -> AbstractContextManager[None]:
    """The rcParams every figure is made and saved under, whatever the user's matplotlibrc says."""
    settings = {
        "font.family": [FONT],
        "font.size": 9.5,
        "text.parse_math": False,  # a "$" in a name is a dollar sign
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.axisbelow": True,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": "black",
        "ytick.labelcolor": "black",
        "grid.color": "#E6E6E6",
        "grid.linewidth": 0.8,
        "svg.fonttype": "path",
        "svg.hashsalt": "bench",
    }
    manager: AbstractContextManager[None] = style.context(["default", settings], after_reset=True)
    return manager


def svg(figure: Figure) -> bytes:
    """The figure as SVG without date or creator."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    first = b"</style>"  # matplotlib's own style sheet, in the <defs> at the top
    return stream.getvalue().replace(first, _dark().encode() + first, 1)


@functools.cache
def _dark() -> str:
    """A style sheet that makes the colours of paper those of a dark screen, where the reader has set one.

    matplotlib writes every colour into a style attribute, in small letters, and leaves black text without any.
    """
    rules = [f":root{{fill:{DARK['#000000']}}}"]
    for light, dark in DARK.items():
        rules += [f'[style*="{what}: {light}"]{{{what}:{dark}!important}}' for what in ("fill", "stroke")]
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}"


def label(value: object, longest: int = 24) -> str:
    """Text that fits into a figure: visible, cut, and only of characters that the font can draw."""
    shown = visible(value).strip()
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return "".join(char if ord(char) in _drawable() else "\N{WHITE SQUARE}" for char in shown)


def heading(figure: Figure, contest: Contest, subject: str, key: str) -> None:
    """Workload, device and subject in bold, data identity and the key in grey under it, at the figure's top left."""
    height = figure.get_figheight()
    first = f"{label(contest.workload)} on {label(contest.device)}: {subject}"
    second = f"{label(contest.spec.data.identity)} data; {key}"
    figure.text(0.012, 1 - 0.1 / height, first, fontsize=11.5, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.34 / height, second, fontsize=9, color="#555555", va="top")


def marks(
    axes: Axes,
    x: Floats,
    y: Floats,
    look: Look,
    *,
    size: float,
    zorder: float,
    marker: str | int | None = None,
    hollow: bool = False,
    edge: float | None = None,
    clip: bool = True,
) -> None:
    """Markers of an arm without a line: filled with a white rim, or outlined `edge` points wide in the arm's colour."""
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=look.marker if marker is None else marker,
        markersize=size,
        markerfacecolor="white" if hollow else look.colour,
        markeredgecolor="white" if edge is None else look.colour,
        markeredgewidth=0.6 if edge is None else edge,
        clip_on=clip,
        zorder=zorder,
    )


@functools.cache
def _drawable() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())
