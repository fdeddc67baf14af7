"""The part of the report on convergence equivalence: every pair of arms of every workload."""

from collections.abc import Sequence

from bench.judgement.equivalence import LEVEL, MOST, Equivalence
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count, estimate, numbers, place
from bench.report.markdown import short, table, text

NONE = "NOT MEASURED: no two arms trained a workload from one seed."


def blocks(judged: Judged) -> list[str]:
    """Markdown blocks."""
    if not judged.equivalences:
        return ["## Convergence", NONE]
    order = list(judged.run.workloads)
    found = sorted(judged.equivalences, key=lambda each: (order.index(each.workload), each.device))
    header = ["workload", "A", "B", "verdict", "A better by, 90 % interval", "margin", "in", "seeds", "would decide"]
    header += ["dead in both"]
    rows = [_row(each) for each in found]
    if not any(each.dead_alike for each in found):
        header, rows = header[:-1], [row[:-1] for row in rows]
    barred = [
        f"- {place(each.workload, each.device)}: {short(each.a)} and {short(each.b)} cannot be EQUIVALENT, whatever "
        f"other seeds say: {text('; '.join(each.barred))}."
        for each in found
        if each.barred
    ]
    return [
        "## Convergence",
        headline(found),
        table(header, rows, left=4),
        *(["\n".join(barred)] if barred else []),
        _legend(),
    ]


def _row(each: Equivalence) -> list[str]:
    return [
        place(each.workload, each.device),
        short(each.a),
        short(each.b),
        f"**{each.verdict}**",
        estimate(each.estimate),
        f"{each.margin:g}",
        text(each.metric),
        str(len(each.differences)),
        _needed(each),
        numbers(each.dead_alike),
    ]


def _needed(each: Equivalence) -> str:
    if each.needed is None:
        return "-"
    return f"more than {MOST}" if each.needed > MOST else str(each.needed)


def headline(found: Sequence[Equivalence]) -> str:
    """How many pairs have which verdict, a sentence."""
    if not found:
        return NONE
    verdicts = ("EQUIVALENT", "DIFFERENT", "UNDERPOWERED")
    counts = {verdict: sum(each.verdict == verdict for each in found) for verdict in verdicts}
    told = [f"{number} {verdict}" for verdict, number in counts.items() if number]
    return f"Of {count(len(found), 'pair')} of arms that trained from the same seeds: {', '.join(told)}."


def _legend() -> str:
    return (
        "How to read it: a pair of trainings has the same initial weights and the same batches, and is compared by "
        "the best validation value up to the same epoch, the one a user keeps. **EQUIVALENT**: the 90 % interval of "
        f"the mean difference over seeds lies inside the margin, which is two one-sided tests at {100 * LEVEL:g} % "
        "each. **DIFFERENT**: it lies wholly beyond the margin on one side, or so many more trainings of one arm went "
        "wrong that it is no chance. **UNDERPOWERED**: neither, or fewer than three seeds; would decide: with so many "
        "seeds, in 4 of 5 cases, if the observed mean and scatter are the true ones. Of pairs that differ by just the "
        "margin 1 in 20 is called EQUIVALENT. Trainings that diverged, failed or are dead stay in: a pair of which one "
        "went wrong is never EQUIVALENT. Arms equal to the reference part in a training all the same: sums in another "
        "order differ in the seventh digit, every step hands that on and enlarges it, and dropout masks are each "
        "framework's own."
    )
