"""A simulated run of one contest with everything that a figure can show, and its figures as matplotlib has them."""

from collections.abc import Callable
from pathlib import Path

from make_run import make_run
from matplotlib.figure import Figure

from bench.report import build, frames, style
from bench.report.contest import Contest
from bench.report.folder import load
from bench.report.summary import contests

HOLE = "no C++ compiler was found on this machine; install g++ or clang, or set CXX, and run it again"
Made = tuple[Path, Contest, dict[str, style.Look]]


def made(folder: Path) -> Made:
    """The run's folder, its first contest, what its arms look like."""
    read = load(folder)
    found = contests(read, frames.measurements(read), frames.curves(read))
    return folder, found[0], style.looks(read.run.arms)


def make_drawn(folder: Path) -> Made:
    """Genuine data, three blocks and epochs, a hole, an A/A control, disturbed rounds."""
    make_run(
        folder,
        workloads=("conv",),
        blocks=3,
        rounds=6,
        epochs=3,
        identity="genuine",
        holes={"torch-compile": HOLE},
        control="torch-eager",
        busy=0.1,
    )
    build(folder)
    return made(folder)


def draw(function: Callable[..., Figure | None], made: Made) -> Figure:
    """The figure, which there is."""
    with style.context():
        figure = function(made[1], made[2])
    assert figure is not None
    return figure
