"""The page on the published head of `conv`, under which a seed can be dead; and what the report says of it."""

from collections.abc import Sequence

from bench.judgement import dead_start
from bench.judgement.dead_start import STATES, Outcome, Shares
from bench.judgement.trainings import Training
from bench.record import SHARED
from bench.report import judgement_rounding
from bench.report.headline import NBSP
from bench.report.judgement_figures import HEADS, LIVE, ROUNDING, Drawings, picture
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count
from bench.report.markdown import code, short, table, text
from bench.wording import number

TITLE = "The broken head"
FILE = "broken-head.html"
SURE = 0.05
"""A p value below it is told as a difference."""


def measured(judged: Judged) -> bool:
    """Whether there is anything to make the page of."""
    return bool(judged.starts or judged.published_head())


def summary(judged: Judged) -> list[str]:
    """The part of the report: the answers of the page and where it is; nothing where there is nothing of it."""
    if not measured(judged):
        return []
    page = (
        f"What is broken, and why accuracy falls while the training loss falls: [{TITLE}]({FILE}), a page of its own."
    )
    return [f"## {TITLE}", _dead(judged), _became(judged), page]


def headline(judged: Judged) -> str:
    """A sentence for the top of a report; empty where no start was looked at."""
    return f"{_counted(found[0])}." if (found := dead_start.shares(judged.starts)) else ""


def blocks(judged: Judged, drawings: Drawings) -> list[str]:
    """Markdown blocks of the page."""
    return [
        f"Under the published head a seed can be dead before it begins, and then learns nothing. {_dead(judged)}",
        "\n".join([_what(), f"- {_became(judged)}", judgement_rounding.lead(judged)]),
        _heads(),
        "## How seeds start",
        *picture(drawings, *LIVE),
        *_starts(judged),
        "## What becomes of them",
        *picture(drawings, *HEADS),
        *_outcomes(judged),
        "## Why accuracy falls",
        *picture(drawings, *ROUNDING),
        *judgement_rounding.blocks(judged),
    ]


def _heads() -> str:
    rows = [
        ["probability p", "clip(output, 1e-7, 1 - 1e-7)", "1 / (1 + exp(-output)), the sigmoid"],
        ["loss", "-log(p) where the label is 1, -log(1 - p) where it is 0", "the same"],
        ["its gradient by the output", "**0 where the output is 0 or less, or 1 or more**", "p - label, everywhere"],
        ["counts as right", "round(output) == label", "(output > 0) == label"],
    ]
    return table(["for a sample", "head as_published", "head logits"], rows, left=3)


def _what() -> str:
    return (
        "- **What is broken.** The published model ends in a linear unit without a sigmoid, and its loss takes the raw "
        "output for a probability: it is clipped to [1e-7, 1 - 1e-7], and what is clipped has no gradient. A training "
        "sample whose output is 0 or less, or 1 or more, teaches nothing. Where that is so of every sample before "
        "the first step, no weight ever changes: the seed is **dead**. Where it is so of some, it is **partly live**."
    )


def _dead(judged: Judged) -> str:
    """How many are dead from the start."""
    found = dead_start.shares(judged.starts)
    if not found:
        return "Dead from the start: NOT MEASURED, no starts were looked at in this run."
    return " ".join(f"{_counted(each)}.{_against(each, found[0])}" for each in found)


def _counted(found: Shares) -> str:
    low, high = found.intervals["dead"]
    name = short(found.initialiser)
    owner = f"{name}'" if name.endswith("s") else f"{name}'s"
    who = "the suite's shared initial weights" if found.initialiser == SHARED else f"{owner} own initialisers"
    dead = found.counts["dead"]
    share = f"{100 * dead / found.seeds:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    return (
        f"Of {count(found.seeds, 'seed')} of {who}, **{dead} {'is' if dead == 1 else 'are'} dead before the first "
        f"step** ({share.replace(' %', NBSP + '%')})"
    )


def _against(each: Shares, shared: Shares) -> str:
    """Whether the suite's weights are to blame, a sentence."""
    p = each.against_shared
    if p is None:
        return ""
    if p >= SURE:
        return f" No sign that the suite's weights are to blame (p = {number(p, 2)}, Fisher's exact test)."
    more = each.counts["dead"] / each.seeds < shared.counts["dead"] / shared.seeds
    return (
        f" The suite's weights are dead {'more' if more else 'less'} often (p = {number(p, 2)}, Fisher's exact test)."
    )


def _became(judged: Judged) -> str:
    """What became of those trained."""
    told = dead_start.outcomes(judged.run, judged.starts, judged.trainings)
    if not told:
        return "**What becomes of them.** NOT MEASURED: nothing was trained under the published head in this run."
    parts = []
    for state in (*STATES, None):
        mine = [each for each in told if (each.start and dead_start.state(each.start)) == state]
        if mine:
            fates = [_fate(each) for each in mine]
            how = f"that started {state}" if state else "whose start was not looked at"
            ends = ", ".join(f"{fates.count(fate)} {fate}" for fate in dict.fromkeys(fates))
            parts.append(f"Of {count(len(mine), 'training')} {how}: {ends}.")
    return f"**What becomes of them.** {' '.join(parts)}"


def _fate(told: Outcome) -> str:
    """What became of it, whenever it did."""
    words = told.words.partition(" after ")[0]
    return "died on the way" if words == "died" else words


def _starts(judged: Judged) -> list[str]:
    found = dead_start.shares(judged.starts)
    if not found:
        return ["NOT MEASURED: no starts were looked at in this run."]
    rows = []
    for each in found:
        cells = [short(each.initialiser), str(each.seeds)]
        for state in STATES:
            low, high = each.intervals[state]
            cells.append(f"{each.counts[state]} ({100 * low:.0f} to {100 * high:.0f} %)")
        cells.append("-" if each.against_shared is None else number(each.against_shared, 2))
        rows.append(cells)
    header = ["initial weights", "seeds", *STATES, "p, dead as often as shared"]
    samples = max(start.samples for start in judged.starts)
    note = (
        f"Outputs for all {samples:,} training samples before the first step; no training. Dead: none lies in (0, 1); "
        "live: all do. In brackets the exact 95 % interval of the share (Clopper-Pearson). A framework's own "
        "initialisers are the control; p is of Fisher's exact test that they are dead as often as the suite's shared "
        "weights."
    )
    return [table(header, rows, left=1), note]


def _outcomes(judged: Judged) -> list[str]:
    told = dead_start.outcomes(judged.run, judged.starts, judged.trainings)
    if not told:
        return ["NOT MEASURED: nothing was trained under the published head in this run."]
    rows = [
        [
            str(each.training.seed),
            *_start(each),
            short(each.training.arm),
            each.words,
            *_reached(each.training),
        ]
        for each in told
    ]
    header = ["seed", "start", "live samples", "arm", "what became of it", "best", "in epoch", "last"]
    note = (
        f"Best, last: validation {text(told[0].training.metric)}. The validation loss of one that never moved stays "
        "what it was; one that died moved up to that epoch and never again: no training sample's output is left in "
        f"(0, 1) then. In {code('curves.csv')} are all of them, epoch by epoch."
    )
    return [table(header, rows, left=5), note]


def _start(each: Outcome) -> Sequence[str]:
    if each.start is None:
        return "not looked at", "-"
    return dead_start.state(each.start), share_of(each.start.live, each.start.samples)


def share_of(count: int, of: int) -> str:
    """In percent; none and all are said of none and all only, however small the rest is."""
    said = f"{100 * count / of:.1f} %"
    if said == "0.0 %" and count:
        return "under 0.1 %"
    return "over 99.9 %" if said == "100.0 %" and count < of else said


def _reached(training: Training) -> Sequence[str]:
    if not training.epochs:
        return "-", "-", "-"
    return f"{training.best[-1]:.4f}", str(training.best_epoch), f"{training.values[-1]:.4f}"
