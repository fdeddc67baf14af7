"""The figures of a report in their order: what each shows, how it is drawn, the data it is drawn from."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bench.report import style
from bench.report.contest import Contest
from bench.report.curves import learning, learning_data
from bench.report.dots import epoch_time, epoch_time_data, throughput, throughput_data
from bench.report.frames import to_csv
from bench.report.phase_bars import phase_bars, phase_bars_data
from bench.report.quality import quality, quality_data
from bench.report.strip import rounds, rounds_data
from bench.report.style import Look


@dataclass(frozen=True)
class Kind:
    """One kind of figure; there is at most one of it for a contest."""

    name: str
    what: str
    """What it shows, as the reader of a page is told."""
    draw: Callable[[Contest, Mapping[str, Look]], Figure | None]
    """None where nothing of it was measured."""
    data: Callable[[Contest], pd.DataFrame]


KINDS = (
    Kind("throughput", "throughput per arm", throughput, throughput_data),
    Kind("epoch_time", "epoch time per arm", epoch_time, epoch_time_data),
    Kind("learning", "learning curves", learning, learning_data),
    Kind("quality", "speed against quality", quality, quality_data),
    Kind("phases", "where the time of a cell goes", phase_bars, phase_bars_data),
    Kind("rounds", "step time of every round", rounds, rounds_data),
)


@dataclass(frozen=True)
class Drawing:
    """A figure of one contest, and the data behind it."""

    name: str
    what: str
    path: str
    """Of the SVG, from the run folder; the CSV is beside it."""
    svg: bytes
    csv: bytes

    @property
    def csv_path(self) -> str:
        return self.path.removesuffix(".svg") + ".csv"


def drawings(contest: Contest, arms: Sequence[str]) -> dict[str, Drawing]:
    """The figures of one contest by name, in the order of a report; `arms` are all of the run, for their colours."""
    looks, found = style.looks(arms), {}
    with style.context():
        for kind in KINDS:
            figure = kind.draw(contest, looks)
            if figure is not None:
                path = f"figures/{kind.name}-{slug(contest.workload)}-{slug(contest.device)}.svg"
                found[kind.name] = Drawing(kind.name, kind.what, path, style.svg(figure), to_csv(kind.data(contest)))
    return found


def slug(name: str) -> str:
    """A name as part of a file name; one that cannot be is replaced by what is left of it and a hash."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name):
        return name
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)[:40] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
