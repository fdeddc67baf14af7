"""The page on the published head of `conv`, which most seeds do not learn under; and what the report says of it."""

from collections.abc import Iterator, Sequence

from bench.judgement import dead_start
from bench.judgement.book import published_curve
from bench.judgement.dead_start import MEASURED, SHARED, STATES, Contradiction, Outcome
from bench.judgement.trainings import Training
from bench.report.judgement_figures import HEADS, LIVE, Drawings, picture
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count
from bench.report.markdown import short, table, text
from bench.wording import number

TITLE = "The broken head"
FILE = "broken-head.html"


def measured(judged: Judged) -> bool:
    """Whether there is anything to make the page of."""
    return bool(judged.starts or judged.published_head())


def summary(judged: Judged) -> list[str]:
    """The part of the report: a paragraph and where the page is; nothing where there is nothing of it."""
    if not measured(judged):
        return []
    said = [f"{_counted(each)}." for each in dead_start.shares(judged.starts)[:1]]
    said.append(f"What the published head does, and why, is a page of its own: [{TITLE}]({FILE}).")
    return [f"## {TITLE}", " ".join(said)]


def blocks(judged: Judged, drawings: Drawings) -> list[str]:
    """Markdown blocks of the page."""
    return [
        _what(),
        "## How seeds start",
        *_starts(judged),
        *picture(drawings, *LIVE),
        "## What becomes of them",
        *_outcomes(judged),
        *picture(drawings, *HEADS),
        "## Why accuracy falls while the loss falls",
        *_why(judged),
    ]


def _what() -> str:
    return (
        "The published model ends in a linear unit, and its loss is cross-entropy on probabilities: the raw output is "
        "clipped to [1e-7, 1 - 1e-7] and taken for one. An output of 0 or less, or of 1 or more, is clipped, and what "
        "is clipped has no gradient. Where that is so of every training sample, no weight ever changes: the seed is "
        "**dead**. Where it is so of some, only the others teach (**partly live**). Both heads stand side by side in "
        "this suite: `as_published`, and `logits`, cross-entropy on the raw output as a logit, which has a gradient "
        "everywhere and is what the sigmoid that is missing would have made of it."
    )


def _counted(found: dead_start.Shares) -> str:
    low, high = found.intervals["dead"]
    who = "the suite's shared initial weights" if found.initialiser == SHARED else f"{short(found.initialiser)}'s own"
    dead = found.counts["dead"]
    return (
        f"Of {count(found.seeds, 'seed')} of {who}, {dead} are dead before the first step "
        f"({100 * dead / found.seeds:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )


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
        "live: all do. In brackets the exact 95 % interval of the share (Clopper-Pearson). The frameworks' own "
        "initialisers are the control; p is of Fisher's exact test that they are dead as often as the suite's shared "
        "weights."
    )
    return [f"{_counted(found[0])}.", table(header, rows, left=1), note]


def _outcomes(judged: Judged) -> list[str]:
    told = dead_start.outcomes(judged.run, judged.starts, judged.trainings)
    if not told:
        return ["NOT MEASURED: nothing was trained under the published head in this run."]
    rows = [[*_start(each), short(each.training.arm), each.words, *_reached(each.training)] for each in told]
    header = ["seed", "start", "live samples", "arm", "what became of it", "best", "in epoch", "last"]
    return [table(header, rows, left=5), f"Validation {text(told[0].training.metric)}. {_tally(told)}"]


def _start(each: Outcome) -> list[str]:
    if each.start is None:
        return [str(each.training.seed), "not looked at", "-"]
    return [
        str(each.training.seed),
        dead_start.state(each.start),
        f"{100 * each.start.live / each.start.samples:.1f} %",
    ]


def _reached(training: Training) -> list[str]:
    if not training.epochs:
        return ["-", "-", "-"]
    return [f"{training.best[-1]:.4f}", str(training.best_epoch), f"{training.values[-1]:.4f}"]


def _tally(told: Sequence[Outcome]) -> str:
    parts = []
    for state in STATES:
        mine = [each for each in told if each.start is not None and dead_start.state(each.start) == state]
        alive = sum(dead_start.became(each.training) == "alive to the end" for each in mine)
        if mine:
            parts.append(f"{alive} of {count(len(mine), 'training')} that started {state}")
    return f"Alive to the end: {'; '.join(parts)}." if parts else "How these seeds start was not looked at."


def _why(judged: Judged) -> list[str]:
    lines = [f"- {line}" for line in _contradictions(judged)]
    found = [
        "The published accuracy is `round(output) == label`, and an output is free to grow: above 1.5 it rounds to 2, "
        "below -0.5 to -1, and both count as wrong, while the loss of such a sample is the smallest there is where the "
        "label is on that side. So a model that grows surer of right answers loses accuracy for it, and nothing in the "
        "loss pulls it back, for what is clipped has no gradient.",
        "Training loss and accuracy from the epoch of the highest accuracy to the last:",
        "\n".join(lines),
    ]
    shares = list(_shares(judged))
    if shares:
        header = ["training", "epoch", "rounds to 2 or more", "rounds below 0", "accuracy", "cut at 0.5"]
        return [*found, "Validation outputs that round to no label:", table(header, shares, left=1)]
    names = ", ".join(MEASURED)
    return [*found, f"NOT MEASURED: the shares of such outputs; the epochs of this run do not record {text(names)}."]


def _contradictions(judged: Judged) -> Iterator[str]:
    """Of the book's own curve and of ours that live to the end."""
    column = published_curve("conv.csv")
    assert column is not None, "this package carries it"
    found = dead_start.contradiction(column["loss"].tolist(), column["acc"].tolist())
    yield f"the book's own: {_contradiction(found)}"
    for training in judged.published_head():
        if training.dead or not training.epochs:
            continue
        losses, accuracies = ([point.train[metric] for point in training.points] for metric in ("loss", "accuracy"))
        yield f"{short(training.cell)}: {_contradiction(dead_start.contradiction(losses, accuracies))}"


def _contradiction(found: Contradiction | None) -> str:
    if found is None:
        return "no such stretch; accuracy and loss do not both fall."
    (loss, last_loss), (accuracy, last_accuracy) = found.loss, found.accuracy
    return (
        f"epochs {found.first} to {found.last}, loss {loss:.4f} to {last_loss:.4f}, accuracy {accuracy:.4f} to "
        f"{last_accuracy:.4f}."
    )


def _shares(judged: Judged) -> Iterator[list[str]]:
    for training in judged.published_head():
        for point in training.points:
            if all(name in point.validation for name in MEASURED):
                above, below, cut = (point.validation[name] for name in MEASURED)
                shares = [f"{100 * above:.1f} %", f"{100 * below:.1f} %"]
                accuracies = [f"{point.validation['accuracy']:.4f}", f"{cut:.4f}"]
                yield [short(training.cell), str(point.epoch), *shares, *accuracies]
