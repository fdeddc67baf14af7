"""The part of the report that stands our trainings beside the book's published curves."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.judgement import book
from bench.judgement.book import Curve, Switch
from bench.judgement.trainings import Training
from bench.published import COMPARABLE
from bench.report import judgement_band
from bench.report.judgement_figures import Drawings, picture
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count, estimate, numbers, place
from bench.report.markdown import short, table, text


def blocks(judged: Judged, drawings: Drawings) -> list[str]:
    """Markdown blocks."""
    found = ["## Against the book"]
    places = judgement_band.places(judged)
    for name, device in places:
        variants = judgement_band.variants(judged, name, device)
        published = judgement_band.published(judged, name)
        assert published is not None, "only places with one are asked for"
        found.append(f"### Against the book: {place(name, device)}")
        found += _section(judged, name, published, variants, picture(drawings, "band", name, device))
    return [*found, *_refused(judged, [name for name, _ in places]), *([_legend()] if places else [])]


def _section(
    judged: Judged,
    name: str,
    published: pd.DataFrame,
    variants: Mapping[str, Sequence[Training]],
    band: Sequence[str],
) -> list[str]:
    curves = {workload: book.curves(published, trainings) for workload, trainings in variants.items()}
    rows = [
        [
            short(workload),
            f"{curve.split} {curve.metric}",
            f"**{curve.place}**",
            estimate(curve.distance),
            f"{curve.outside} of {len(curve.published)}" if len(curve.seeds) > 1 else "-",
            numbers(curve.seeds),
        ]
        for workload, mine in curves.items()
        for curve in mine
    ]
    header = [
        "trained as",
        "curve",
        "the book lies",
        "mean distance, ours - published",
        "epochs outside band",
        "from seeds",
    ]
    left = [
        f"- {short(training.cell)}: {training.fate if training.censored else 'died on the way'}"
        for trainings in variants.values()
        for training in trainings
        if not book.comparable(training)
    ]
    specs = {key: spec for key, spec in judged.run.workloads.items() if key in variants}
    spec = specs.get(name) or next(iter(specs.values()))
    switches = book.switches(name, spec, published, variants)
    return [
        table(header, rows, left=3),
        *band,
        *(["Left out of the bands, because they are not whole or not alive:\n" + "\n".join(left)] if left else []),
        *_epochs(curves),
        "What the book had otherwise, and whether it tells:",
        "\n".join(_reason(switch) for switch in switches),
    ]


def _epochs(curves: Mapping[str, Sequence[Curve]]) -> list[str]:
    """A table per metric on the validation set: the published value, and of every setting the distance to it."""
    found = []
    for metric in dict.fromkeys(curve.metric for mine in curves.values() for curve in mine):
        shown = {
            workload: curve
            for workload, mine in curves.items()
            for curve in mine
            if (curve.split, curve.metric) == ("validation", metric)
        }
        first = max(shown.values(), key=lambda curve: len(curve.published))
        header = ["epoch", "published"]
        for workload in shown:
            header += [short(workload), "band", "distance"]
        rows = [
            [str(epoch + 1), f"{value:.4f}", *(cell for curve in shown.values() for cell in _cells(curve, epoch))]
            for epoch, value in enumerate(first.published)
        ]
        found += [f"Validation {text(metric)} by epoch, median of ours over seeds:", table(header, rows, left=0)]
    return found


def _cells(curve: Curve, epoch: int) -> list[str]:
    if epoch >= len(curve.published):
        return ["-", "-", "-"]
    low, middle, high = curve.low[epoch], curve.middle[epoch], curve.high[epoch]
    mark = "" if low <= curve.published[epoch] <= high else " out"
    band = f"{low:.4f} to {high:.4f}{mark}" if len(curve.seeds) > 1 else "-"
    return [f"{middle:.4f}", band, f"{middle - curve.published[epoch]:+.4f}"]


def _reason(switch: Switch) -> str:
    nearer = ""
    if switch.nearer is not None:
        seeds = count(switch.nearer.seeds, "seed")
        nearer = f", nearer by {estimate(switch.nearer)}, {seeds}"
    said = f"- {switch.what} ({short(switch.workload)}): **{switch.effect}**{nearer}"
    return said + (f"; {text(switch.why)}." if switch.why else ".")


def _refused(judged: Judged, shown: Sequence[str]) -> list[str]:
    """Of every workload with a published curve that is not shown: why."""
    lines = []
    for key, spec in judged.run.workloads.items():
        name = key.partition(".")[0]
        if spec.published is None or name in shown or key != name:
            continue
        if spec.data.identity in COMPARABLE:
            why = "NOT MEASURED, no whole and live training"
        else:
            why = f"not shown, the data is {spec.data.identity} and the published figures are of the genuine file"
        lines.append(f"- {short(name)}: {text(why)}.")
    return ["\n".join(lines)] if lines else []


def _legend() -> str:
    return (
        "How to read it: the published curve is one training. Distances are ours minus published, mean over the "
        "epochs, with the 95 % prediction interval of one more training like ours: **INSIDE**: it holds 0, so the "
        "book could be one of ours. That proves no agreement: a wide interval holds much, and epochs above and below "
        "the published ones cancel; the tables have each. **OUTSIDE**: it does not; **UNRESOLVED**: fewer than "
        "three seeds. A band from smallest to largest of N seeds is left at any epoch by 2 in N + 1 trainings like "
        "them: with three seeds by every second. Switches, by the validation loss of the arms and seeds trained both "
        "ways: **CLOSES**, with it they come nearer and are INSIDE; **NARROWS**, nearer; **WIDENS**, farther; by mean "
        "distance over epochs without its sign."
    )
