"""How far a run can be trusted, in a few words at the top of a report; the notices below have the details."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench import derived
from bench.report import verdicts
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import number, visible


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
    found = [Word(f"{ok} of {planned} cells measured", "good" if ok == planned else "bad")]
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
    found = []
    for contest in contests:
        control = verdicts.control(contest, "train_step" if contest.ranked else contest.epoch_phase)
        if control is not None:
            where = f" ({visible(contest.workload)})" if len(contests) > 1 else ""
            fine = control.effect.low <= 1 <= control.effect.high
            found.append(Word(f"noise{where}: {verdicts.ratio(control.effect)}", "plain" if fine else "bad"))
    return found or [Word("no A/A control", "bad")]
