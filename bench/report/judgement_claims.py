"""The part of the report on the book's claims: a table, and a paragraph for each."""

from collections.abc import Sequence

from bench.judgement.claims import Judgement
from bench.judgement.evidence import Part
from bench.report.judgement_read import Judged
from bench.report.judgement_words import count, estimate, figure, numbers
from bench.report.markdown import short, table, text


def blocks(judged: Judged) -> list[str]:
    """Markdown blocks."""
    rows = [
        [
            name(found),
            f"**{found.verdict}**",
            found.claim.text,
            effect(found.parts),
            seeds(found.parts),
            numbers(map(short, found.identity)),
        ]
        for found in judged.claims
    ]
    header = ["claim", "verdict", "the text says", "effect and 95 % interval", "seeds", "data"]
    note = (
        "What decides each claim was declared in the suite's code before any published run, but where it says "
        "otherwise, and stands with it below. "
        f"{_margins(judged)}The unit is the seed: arms that trained from one seed are averaged first, ratios too. "
        "Fewer than three seeds have no interval and decide nothing about quality; epoch times are decided without one "
        "only where a machine slower by half would not change the answer. A training that diverged, failed or is dead "
        "stays in: the verdict must be the same wherever it would have ended. Classifiers are compared with the head "
        "`logits`; claim 6 is judged under both, since the text speaks of the published one."
    )
    return ["## Claims", table(header, rows, left=len(header)), note, *(_paragraph(found) for found in judged.claims)]


def _margins(judged: Judged) -> str:
    """The declared margins, a sentence; empty without any."""
    by_size: dict[tuple[float, str], None] = {}
    for spec in judged.run.workloads.values():
        if spec.quality is not None:
            by_size[spec.quality.margin, spec.quality.metric] = None
    sizes = " and ".join(f"{margin:g} in validation {text(metric)}" for margin, metric in by_size)
    return f"The margin is {sizes}. " if sizes else ""


def name(found: Judgement) -> str:
    """`2 on cpu`, `6 with logits`."""
    on = f" on {short(found.device)}" if found.device else ""
    return f"{found.claim.number}{on}" + (f" {found.claim.variant}" if found.claim.variant else "")


def effect(parts: Sequence[Part]) -> str:
    """What was measured and how much it is; arms of one effect as their range."""
    told = []
    for what in dict.fromkeys(part.what for part in parts):
        known = [part for part in parts if part.what == what and part.estimate is not None]
        if len(known) == 1:
            told.append(f"{text(what)}: {estimate(known[0].estimate, known[0].kind)}{_unit(known[0])}")
        elif known:
            ordered = sorted(known, key=lambda part: part.estimate.value if part.estimate else 0.0)
            ends = [figure(part.estimate, part.kind) for part in (ordered[0], ordered[-1])]
            told.append(f"{text(what)}: {ends[0]} to {ends[1]}{_unit(known[0])}, by arm")
    return "; ".join(told) or "-"


def _unit(part: Part) -> str:
    return " times" if part.kind == "ratio" else ""


def seeds(parts: Sequence[Part]) -> str:
    """How many each side of each effect has."""
    return "; ".join(dict.fromkeys(" and ".join(map(str, part.seeds)) for part in parts if part.seeds)) or "-"


def _paragraph(found: Judgement) -> str:
    """What decides the claim, and what was found of each effect it rests on."""
    lines = [f"**Claim {name(found)}: {text(found.line)}.** {found.claim.text} *What decides:* {found.claim.decides}"]
    lines += [f"- {_part(part)}" for part in found.parts]
    lines += [f"- {text(note)}." for note in found.notes]
    return "\n".join([lines[0], "", *lines[1:]])


def _part(part: Part) -> str:
    said = f"{text(part.what)}: "
    if part.estimate is None:
        said += part.verdict
    else:
        sides = " and ".join(map(str, part.seeds))
        seeds = "1 seed" if part.seeds == (1,) else f"{sides} seeds"
        arms = count(len(part.arms), "arm")
        said += f"{estimate(part.estimate, part.kind)}{_unit(part)}, {seeds}, "
        said += f"{arms} ({numbers(map(short, part.arms))}): {part.verdict}"
    return said + (f"; {text(part.note)}." if part.note else ".")
