"""How far a run can be trusted, in a few words at the top of a report; the notices below have the details."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench import derived, wording
from bench.effects import Effect
from bench.judgement.intervals import FEWEST
from bench.published import COMPARABLE
from bench.report import verdicts
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible
from bench.report.parity_table import unproved
from bench.report.verdicts import Comparison
from bench.wording import number

Kind = Literal["good", "bad", "plain"]
NOISY = 1.5
"""An interval of an arm against itself whose ends are this far apart, as from 0.82 to 1.22, is worth a caution."""


@dataclass(frozen=True)
class Word:
    """One thing to know; `bad` asks for caution."""

    text: str
    kind: Kind


def trust(folder: Folder, contests: Sequence[Contest]) -> list[Word]:
    """Data, parity, cells, disturbances and noise, in this order; nothing is left out for being good."""
    return [*_data(folder), *_parity(folder), *_cells(folder), *_disturbed(folder), *_noise(folder, contests)]


def _data(folder: Folder) -> list[Word]:
    names: dict[str, list[str]] = {}
    for name, workload in folder.run.workloads.items():
        names.setdefault(workload.data.identity, []).append(visible(name))
    return [
        Word(f"{kind} data" + (f" ({', '.join(of)})" if len(names) > 1 else ""),
             "good" if kind in COMPARABLE else "bad")
        for kind, of in names.items()
    ]  # fmt: skip


def _parity(folder: Folder) -> list[Word]:
    if not folder.parities:
        return [Word("no parity record", "bad")]
    passed, every = sum(parity.passed for parity in folder.parities), len(folder.parities) + len(unproved(folder))
    return [Word(f"parity: {passed} of {every} equal to the reference", "good" if passed == every else "bad")]


def _cells(folder: Folder) -> list[Word]:
    planned = len(folder.run.plan)
    ok = sum(cell.status == "ok" for cell in folder.everything)
    # Blocks that a budget left out are in no plan of the first schema.
    whole: Kind = "plain" if "budget" in (folder.run.ended_because or "") else "good"
    found = [Word(f"{ok} of {planned} cells measured", whole if 0 < ok == planned else "bad")]
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


def _noise(folder: Folder, contests: Sequence[Contest]) -> list[Word]:
    """Of the A/A control the worst: one that differs from itself, else the one with the widest interval."""
    found = [
        (contest, control)
        for contest in contests
        if (control := verdicts.control(contest, "train_step" if contest.ranked else contest.epoch_phase))
    ]
    if not found and (seeds := _seeds(folder)):
        return [seeds]
    if not found:
        return [Word("A/A control not measured" if folder.run.control else "no A/A control", "bad")]
    contest, worst = max(found, key=lambda pair: (_kind(pair[1]) == "bad", *_width(pair[1].effect)))
    where = f" ({visible(contest.workload)}, the worst of {len(found)})" if len(found) > 1 else ""
    effect = worst.effect
    low, middle, high = (wording.figure(value, effect) for value in (effect.low, effect.ratio, effect.high))
    sure = f"{low} to {high}" if math.isfinite(effect.high) else "no interval"
    return [Word(f"noise, an arm against itself: {middle} ({sure}){where}", _kind(worst))]


def _seeds(folder: Folder) -> Word | None:
    """Of a run that only trains whole schedules: from how many seeds, which is what its intervals are made from."""
    planned = {phase for cell in folder.run.plan for phase in cell.phases}
    if not planned or "train_step" in planned:
        return None
    if derived.CONVERGE not in planned:
        return Word("no training planned", "plain")
    seeds: dict[str, set[int]] = {}
    for cell in folder.cells:
        if cell.status == "ok" and derived.CONVERGE in derived.phases(cell):
            seeds.setdefault(cell.workload, set()).add(cell.seed)
    counts = sorted(len(of) for of in seeds.values())
    if not counts:
        return Word("nothing trained to the end", "bad")
    most = f" to {counts[-1]}" if counts[-1] > counts[0] else ""
    plural = "" if counts[-1] == 1 else "s"
    return Word(f"{counts[0]}{most} seed{plural} a workload", "good" if counts[0] >= FEWEST else "bad")


def _kind(control: Comparison) -> Kind:
    """Caution where the arm differs from itself, and where so wide an interval hides any difference that matters."""
    if control.verdict == "SAME":
        return "good"
    return "plain" if control.verdict == "UNRESOLVED" and _width(control.effect)[0] < NOISY else "bad"


def _width(effect: Effect) -> tuple[float, float]:
    """Of the interval, and where there is none, how far from 1 the ratio is."""
    return effect.high / effect.low if effect.low else math.inf, abs(math.log(effect.ratio))
