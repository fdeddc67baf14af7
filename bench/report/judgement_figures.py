"""The figures on whole trainings: which there are, how each is drawn, the data it is drawn from."""

from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from bench.report import figures, judgement_band, judgement_frontier, judgement_rounding, judgement_starts, style
from bench.report.figures import Drawing
from bench.report.frames import to_csv
from bench.report.judgement_read import Judged
from bench.report.markdown import text, visible

KINDS = ("frontier", "band", "live", "heads", "rounding")
"""What their files' names begin with."""
LIVE, HEADS, ROUNDING = ("live", "starts"), ("heads", "curves"), ("rounding", "outputs")
Drawings = Mapping[tuple[str, ...], Drawing]
"""By kind and what it is of: workload and device, or nothing more where a run has one of it."""


def drawings(judged: Judged) -> dict[tuple[str, ...], Drawing]:
    """Every figure that there is data for."""
    looks, found = style.looks(judged.run.arms), dict[tuple[str, ...], Drawing]()
    with style.context():
        for (workload, device), trainings in judged.groups().items():
            quality = judged.run.workloads[workload].quality
            assert quality is not None, "else it is not judged"
            frame = judgement_frontier.data(trainings)
            if not frame.empty:
                drawn = judgement_frontier.draw(frame, trainings, quality.target, looks)
                what = f"{workload} on {device}: best validation {quality.metric} so far over seconds of training"
                found["frontier", workload, device] = _drawing(("frontier", workload, device), what, drawn, frame)
        for name, device in judgement_band.places(judged):
            frame = judgement_band.data(judged, name, device)
            drawn = judgement_band.draw(frame, name, device, judged.run.workloads)
            what = f"{name} on {device}: the published curve and the band of ours over seeds"
            found["band", name, device] = _drawing(("band", name, device), what, drawn, frame)
        for key, what, data, draw in _OF_THE_HEAD:
            frame = data(judged)
            if not frame.empty:
                found[key] = _drawing(key, what, draw(frame, judged.reviews_identity), frame)
    return found


_OF_THE_HEAD: tuple[
    tuple[tuple[str, str], str, Callable[[Judged], pd.DataFrame], Callable[[pd.DataFrame, str], Figure]], ...
] = (
    (
        LIVE,
        "how many seeds start with which share of live training samples",
        judgement_starts.share_data,
        judgement_starts.share,
    ),
    (
        HEADS,
        "curves under the published head by how the seed started, beside the head logits",
        judgement_starts.curve_data,
        judgement_starts.curves,
    ),
    (
        ROUNDING,
        "outputs that round to no label by epoch, and the accuracy with them and without",
        judgement_rounding.data,
        judgement_rounding.draw,
    ),
)


def picture(drawings: Drawings, *key: str) -> list[str]:
    """The figure as a Markdown block; nothing where there is none."""
    drawing = drawings.get(key)
    return [f"![{text(drawing.what)}]({drawing.path})"] if drawing else []


def _drawing(key: tuple[str, ...], what: str, drawn: Figure, frame: pd.DataFrame) -> Drawing:
    path = f"figures/{'-'.join([key[0], *map(figures.slug, key[1:])])}.svg"
    return Drawing(key[0], visible(what), path, style.svg(drawn), to_csv(frame))
