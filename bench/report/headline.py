"""The verdict on a contest at a glance: who is fastest and by how much, and whether all of them learn the same."""

import re
from collections.abc import Sequence

from bench import record, wording
from bench.ranking import Rank, sentences
from bench.record import Parity
from bench.report import verdicts
from bench.report.contest import Contest
from bench.report.markdown import short, visible
from bench.report.trust import Word
from bench.report.verdicts import Comparison

NBSP = "\N{NO-BREAK SPACE}"


def headline(contest: Contest) -> str:
    """A sentence or two of Markdown: the verdicts between the fastest arms, how far the slowest is behind."""
    arms = [arm.arm for arm in contest.ranked or contest.trained]
    if not arms and contest.cells and not contest.stepped:
        return "No training was timed."
    beside = verdicts.beside_fastest(contest, "train_step" if contest.ranked else contest.epoch_phase)
    aside = record.tuned(contest.run)
    ranks = [_rank(arm, beside.get(arm), arm in aside) for arm in arms]
    return " ".join(_unbroken(sentence) for sentence in sentences(ranks))


def _rank(arm: str, found: Comparison | None, tuned: bool) -> Rank:
    return Rank(_strong(arm), found.effect if found else None, found.verdict if found else None, tuned)


def _unbroken(sentence: str) -> str:
    """An interval stays on one line."""
    return re.sub(r"(\[[\d.,]+,) ([\d.,]+\])", rf"\1{NBSP}\2", sentence)


def epoch(contest: Contest) -> str:
    """A sentence of Markdown where whole epochs say otherwise than single steps, and surely; else nothing."""
    if not contest.ranked or not contest.trained:
        return ""
    found = verdicts.beside_fastest(contest, contest.epoch_phase).get(contest.ranked[0].arm)
    if found is None or found.verdict != "SLOWER":
        return ""
    return f"Over a whole epoch {_strong(found.b.arm)} is ahead: {short(found.a.arm)} takes {_times(found)}."


def _times(comparison: Comparison) -> str:
    ratio, interval = wording.ratio(comparison.effect).split(" ", 1)
    return f"{ratio} times as long {interval.replace(' ', NBSP)}"


def alike(contest: Contest, parities: Sequence[Parity]) -> Word:
    """Whether the arms compute the same mathematics, as the gate found; every arm with figures needs its record."""
    mine = [entry for entry in parities if (entry.workload, entry.device) == (contest.workload, contest.device)]
    failed = [entry for entry in mine if not entry.passed]
    unproved = {cell.arm for cell in contest.cells} - {entry.arm for entry in mine}
    if not mine:
        return Word("Not known to learn the same: no parity record", "bad")
    if failed:
        return Word(f"Not proved the same: {len(failed)} of {len(mine)} arms fail parity with the reference", "bad")
    if unproved:
        words = f"Not known to learn the same: no parity record of {', '.join(map(visible, sorted(unproved)))}"
        return Word(words, "bad")
    return Word(f"Same mathematics: {len(mine)} of {len(mine)} arms equal to the reference", "good")


def _strong(arm: str) -> str:
    return f"**{short(arm)}**"
