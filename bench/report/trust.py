"""How far a run can be trusted, in a few words at the top of a report; the notices below have the details."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench import derived, wording
from bench.effects import Effect
from bench.report import verdicts
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible
from bench.wording import number


@dataclass(frozen=True)
class Word:
    """One thing to know; `bad` asks for caution."""

    text: str
    kind: Literal["good", "bad", "plain"]


def trust(folder: Folder, contests: Sequence[Contest]) -> list[Word]:
    """Data, parity, cells, disturbances and noise, in this order; nothing is left out for being good."""
    return [*_data(folder), *_parity(folder), *_cells(folder), *_disturbed(folder), *_noise(contests)]


def _data(folder: Folder) -> list[Word]:
    names: dict[str, list[str]] = {}
    for name, workload in folder.run.workloads.items():
        names.setdefault(workload.data.identity, []).append(visible(name))
    return [
        Word(f"{kind} data" + (f" ({', '.join(of)})" if len(names) > 1 else ""),
             "good" if kind in ("genuine", "equivalent") else "bad")
        for kind, of in names.items()
    ]  # fmt: skip


def _parity(folder: Folder) -> list[Word]:
    if not folder.parities:
        return [Word("no parity record", "bad")]
    passed = sum(parity.passed for parity in folder.parities)
    every = passed == len(folder.parities)
    words = f"parity: {passed} of {len(folder.parities)} equal to the reference"
    return [Word(words, "good" if every else "bad")]


def _cells(folder: Folder) -> list[Word]:
    planned = len(folder.run.plan)
    ok = sum(cell.status == "ok" for cell in folder.everything)
    found = [Word(f"{ok} of {planned} cells measured", "good" if 0 < ok == planned else "bad")]
    failed = sum(cell.status == "failed" for cell in folder.everything)
    found += [Word(f"{failed} failed", "bad")] if failed else []
    return found + ([Word("not finished", "bad")] if folder.run.finished is None else [])


def _disturbed(folder: Folder) -> list[Word]:
    rounds = [
        tainted
        for cell in folder.everything
        if cell.status == "ok"
        for phase in derived.phases(cell).values()
        for tainted in phase.tainted
    ]
    if not rounds:
        return []
    share = sum(rounds) / len(rounds)
    return [Word(f"{number(100 * share, 2)} % of rounds disturbed" if share else "no round disturbed",
                 "bad" if share else "good")]  # fmt: skip


def _noise(contests: Sequence[Contest]) -> list[Word]:
    """Of the A/A control the worst: one that differs from itself, else the one with the widest interval."""
    found = [
        (contest, control.effect)
        for contest in contests
        if (control := verdicts.control(contest, "train_step" if contest.ranked else contest.epoch_phase))
    ]
    if not found:
        return [Word("no A/A control", "bad")]
    contest, worst = max(
        found, key=lambda pair: (not _holds_one(pair[1]), pair[1].high / pair[1].low if pair[1].low else math.inf)
    )
    where = f" ({visible(contest.workload)}, the worst of {len(found)})" if len(found) > 1 else ""
    return [
        Word(f"noise, an arm against itself: {wording.ratio(worst)}{where}", "plain" if _holds_one(worst) else "bad")
    ]


def _holds_one(effect: Effect) -> bool:
    return effect.low <= 1 <= effect.high
