"""The verdict on a contest at a glance: who is fastest and by how much, and whether all of them learn the same."""

from collections.abc import Sequence

from bench import wording
from bench.record import Parity
from bench.report import verdicts
from bench.report.contest import Contest
from bench.report.markdown import short
from bench.report.trust import Word
from bench.report.verdicts import Comparison

NBSP = "\N{NO-BREAK SPACE}"


def headline(contest: Contest) -> str:
    """A sentence or two of Markdown: the verdicts between the fastest arms, how far the slowest is behind."""
    phase = "train_step" if contest.ranked else contest.epoch_phase
    ranked = [arm.arm for arm in contest.ranked or contest.trained]
    if not ranked:
        return "Nothing was measured."
    if len(ranked) == 1:
        return f"Only {_strong(ranked[0])} was measured."
    beside = verdicts.beside_fastest(contest, phase)
    verdict = {arm: beside[arm].verdict if arm in beside else "UNRESOLVED" for arm in ranked[1:]}
    slower = [arm for arm in verdict if verdict[arm] == "SLOWER"]
    level = [arm for arm in ranked if arm not in slower]
    same = all(verdict[arm] == "SAME" for arm in level[1:])
    return " ".join(filter(None, [_first(level, same, bool(slower)), _last(beside, slower)]))


def _first(level: Sequence[str], same: bool, others: bool) -> str:
    names = [_strong(arm) for arm in level]
    if len(names) == 1:
        return f"{names[0]} is fastest."
    if same:
        return f"{_listed(names, 'and')} are fastest and take the SAME time."
    if len(names) == 2 or (others and len(names) == 3):
        return f"{_listed(names, 'or')} is fastest: UNRESOLVED."
    return f"Which of {len(names)} arms is fastest: UNRESOLVED."


def _last(beside: dict[str, Comparison], slower: Sequence[str]) -> str:
    if not slower:
        return ""
    furthest = max(slower, key=lambda arm: beside[arm].effect.ratio)
    return f"{_strong(furthest)} {'is slowest and ' if len(slower) > 1 else ''}takes {_times(beside[furthest])}."


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
    """Whether the arms compute the same mathematics, as the gate found, and how far apart their losses ended."""
    mine = [entry for entry in parities if (entry.workload, entry.device) == (contest.workload, contest.device)]
    failed = [entry for entry in mine if not entry.passed]
    if not mine:
        return Word("Not known to learn the same: no parity record", "bad")
    if failed:
        return Word(f"Not the same: {len(failed)} of {len(mine)} arms differ from the reference", "bad")
    return Word(f"Same mathematics: {len(mine)} of {len(mine)} arms equal to the reference", "good")


def _strong(arm: str) -> str:
    return f"**{short(arm)}**"


def _listed(names: Sequence[str], word: str) -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
