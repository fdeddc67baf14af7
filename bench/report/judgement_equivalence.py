"""The part of the report on convergence equivalence: every pair of arms of every workload."""

import itertools

from bench.judgement.equivalence import LEVEL, MOST, Equivalence
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count, figure, interval, numbers, place
from bench.report.markdown import short, table, text


def blocks(judged: Judged) -> list[str]:
    """Markdown blocks."""
    if not judged.equivalences:
        return ["## Convergence equivalence", "NOT MEASURED: no two arms trained a workload from one seed."]
    found = ["## Convergence equivalence", _tally(judged), _legend()]
    order = list(judged.run.workloads)
    by_place = sorted(judged.equivalences, key=lambda each: (order.index(each.workload), each.device))
    for (workload, device), group in itertools.groupby(by_place, key=lambda each: (each.workload, each.device)):
        found += _section(workload, device, list(group))
    return found


def _section(workload: str, device: str, found: list[Equivalence]) -> list[str]:
    rows = [
        [
            short(each.a),
            short(each.b),
            f"**{each.verdict}**",
            figure(each.estimate),
            interval(each.estimate),
            str(len(each.differences)),
            _needed(each),
            numbers(each.dead_alike),
        ]
        for each in found
    ]
    header = ["A", "B", "verdict", "A better by", "90 % interval", "seeds", "seeds that would decide"]
    dead = any(each.dead_alike for each in found)
    header, rows = ([*header, "dead in both"], rows) if dead else (header, [row[:-1] for row in rows])
    first = next((each for each in found if each.epoch), found[0])
    up_to = f", best of {count(first.epoch, 'epoch')}" if first.epoch else ""
    facts = f"Validation {text(first.metric)}{up_to}; margin {first.margin:g}."
    barred = [
        f"- {short(each.a)} and {short(each.b)} cannot be EQUIVALENT, whatever other seeds say: "
        f"{text('; '.join(each.barred))}."
        for each in found
        if each.barred
    ]
    return [
        f"### {place(workload, device)}",
        facts,
        table(header, rows, left=3),
        *(["\n".join(barred)] if barred else []),
    ]


def _needed(each: Equivalence) -> str:
    if each.needed is None:
        return "-"
    return f"more than {MOST}" if each.needed > MOST else str(each.needed)


def _tally(judged: Judged) -> str:
    found = judged.equivalences
    verdicts = ("EQUIVALENT", "DIFFERENT", "UNDERPOWERED")
    counts = {verdict: sum(each.verdict == verdict for each in found) for verdict in verdicts}
    told = [f"{number} {verdict}" for verdict, number in counts.items() if number]
    return f"Of {count(len(found), 'pair')} of arms that trained from the same seeds: {', '.join(told)}."


def _legend() -> str:
    return (
        "How to read this: a pair of trainings has the same initial weights and the same batches, and is compared by "
        "the best validation value up to the same epoch, the one a user keeps. **EQUIVALENT**: the 90 % interval of "
        f"the mean difference over seeds lies inside the margin, which is two one-sided tests at {100 * LEVEL:g} % "
        "each. **DIFFERENT**: it lies wholly beyond the margin on one side, or so many more trainings of one arm went "
        "wrong that it is no chance. **UNDERPOWERED**: neither, or fewer than three seeds; then so many seeds would "
        "decide in 4 of 5 cases if the observed mean and scatter are the true ones. Of pairs that differ by just the "
        "margin 1 in 20 is called EQUIVALENT. Trainings that diverged, failed or are dead stay in: a pair of which one "
        "went wrong is never EQUIVALENT."
    )
