"""The judgement of whole trainings at a glance: the claims at the top of a report, lines for every contest."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from bench.judgement import time_to_target
from bench.judgement.equivalence import Equivalence
from bench.judgement.trainings import Training
from bench.report import judgement_claims, judgement_equivalence, judgement_head
from bench.report.contest import Contest
from bench.report.judgement_read import Judged
from bench.report.judgement_time import target
from bench.report.judgement_words import count, estimate
from bench.report.markdown import short, text
from bench.wording import number


@dataclass(frozen=True)
class Claimed:
    """A claim and its verdict; texts are Markdown."""

    name: str
    """`2 on cpu`."""
    verdict: str
    line: str
    """The verdict, with the data where that is not the book's."""
    text: str


@dataclass(frozen=True)
class Glance:
    """The top of a report."""

    claims: tuple[Claimed, ...]
    """Empty for a run that trained nothing and was to train nothing."""
    lines: tuple[str, ...]
    """Sentences of Markdown: convergence, the broken head."""


def glance(judged: Judged) -> Glance:
    """What a reader wants to know first."""
    trained = bool(judged.trainings or judged.untried)
    lines = [f"[Convergence](#convergence): {judgement_equivalence.headline(judged.equivalences)}"]
    lines = lines if trained else []
    if head := judgement_head.headline(judged):
        lines.append(f"[{judgement_head.TITLE}]({judgement_head.FILE}): {head}")
    claims = [
        Claimed(judgement_claims.name(found), found.verdict, found.line, found.claim.text) for found in judged.claims
    ]
    return Glance(tuple(claims) if trained else (), tuple(lines))


def markdown(found: Glance) -> list[str]:
    """The same as blocks of Markdown."""
    claims = [f"- Claim {each.name}: **{each.line}**. {each.text}" for each in found.claims]
    first = ["What the trainings say of the book's claims:", "\n".join(claims)] if claims else []
    return [*first, *found.lines, "Epoch times, and whether the mathematics is the same:"]


def told(judged: Judged, contest: Contest) -> Contest:
    """The contest with what the judgement says of its trainings."""
    return dataclasses.replace(contest, judged=_lines(judged, contest.workload, contest.device))


def _lines(judged: Judged, workload: str, device: str) -> tuple[str, ...]:
    """Sentences of Markdown; none where nothing was trained."""
    trainings = judged.groups().get((workload, device))
    if not trainings:
        return ()
    seeds = {training.seed for training in trainings}
    pairs = [each for each in judged.equivalences if (each.workload, each.device) == (workload, device)]
    return f"{count(len(seeds), 'seed')}. {_alike(pairs)}", _reached(judged, trainings)


def _alike(pairs: Sequence[Equivalence]) -> str:
    """Of one pair its figures, of more how many there are of each verdict."""
    if len(pairs) != 1:
        return judgement_equivalence.headline(pairs)
    (pair,) = pairs
    said = f"{short(pair.a)} and {short(pair.b)}, best validation {text(pair.metric)}: {pair.verdict}"
    if pair.estimate is not None:
        said += f", difference {estimate(pair.estimate)}"
    said += f", margin {pair.margin:g}"
    return said + (f"; dead in both: {count(len(pair.dead_alike), 'seed')}." if pair.dead_alike else ".")


def _reached(judged: Judged, trainings: Sequence[Training]) -> str:
    """How soon each arm gets to the target."""
    quality = judged.run.workloads[trainings[0].workload].quality
    assert quality is not None, "else it is not judged"
    found = [each for each in time_to_target.times(trainings, quality.target) if each.clock == "training"]
    arms = []
    for each in sorted(found, key=lambda each: each.mean_s.value if each.mean_s and each.share[0] else float("inf")):
        reached, of = each.share
        if not reached:
            arms.append(f"{short(each.arm)} never")
        else:
            some = "" if reached == of else f" ({reached} of {of}, mean restricted)"
            arms.append(f"{short(each.arm)} {number(each.mean_s.value) if each.mean_s else '-'} s{some}")
    return f"Training time to validation {target(quality)}: {', '.join(arms)}."
