"""What a reader must know before any figure: everything about a run that makes it less than it could be."""

import shlex
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from bench import derived, record, stats
from bench.report import contamination, ledger
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import code, short, text
from bench.report.parity_table import unproved
from bench.wording import number

SHOWN = 8
"""Reasons of one kind at the top of a report; the section on cells and the CSV file have all."""


def notices(folder: Folder, contests: Iterable[Contest]) -> list[str]:
    """Markdown lines, the gravest first; none for a whole run on genuine data."""
    contests = list(contests)
    found = [*_data(folder), *_cells(folder), *_holes(folder), *_course(folder), *contamination.notices(folder)]
    found += [*_unsettled(contests), *_unexplained(folder), *_uncontrolled(folder), *_unjudged(folder)]
    found += [*_apart(folder), *_chosen(folder)]
    single = [contest for contest in contests if {arm.step_s.blocks for arm in contest.ranked if arm.step_s} == {1}]
    if single:
        found.append(
            f"**One block** ({_names(contest.workload for contest in single)}): without a second one nothing is known "
            "of this machine's noise, and small differences mean nothing."
        )
    return found


def _data(folder: Folder) -> list[str]:
    found = []
    for identity, sentence in (
        (
            "synthetic",
            "**Synthetic data** ({}): made by the suite itself. Losses and accuracies on it cannot be compared with "
            "published ones, which are left out.",
        ),
        (
            "other",
            "**Another year's data** ({}): real, but not the data of the published figures, which are left out; what "
            "is said about learning holds for this data.",
        ),
    ):
        names = [name for name, workload in folder.run.workloads.items() if workload.data.identity == identity]
        if names:
            found.append(sentence.format(_names(names)))
    return found


def _cells(folder: Folder) -> list[str]:
    failed = [cell for cell in folder.everything if cell.status == "failed"]
    found = _grouped(
        f"**{_count(failed, 'cell')} failed**",
        ((f"{cell.workload}, {cell.contestant}", cell.reason or "") for cell in failed),
    )
    parities = [parity for parity in folder.parities if not parity.passed]
    found += _grouped(
        "**Parity failed**: these arms do not compute the reference's numbers and were not timed",
        ((f"{parity.workload}, {parity.arm}", parity.reason or "") for parity in parities),
    )
    found += _grouped(
        "**Parity not proved**: these arms were measured, and no record says that they equal the reference",
        ((f"{workload}, {arm}", "its parity record is missing or unreadable") for workload, arm in unproved(folder)),
    )
    found += _grouped(
        f"**{_count(folder.set_aside, 'file')} set aside**, unreadable or not of this run; no figure is made from them",
        ((entry.file, entry.reason) for entry in folder.set_aside),
    )
    missing = [cell for cell in folder.missing() if not folder.run.arms[cell.arm].hole]
    if missing:
        found.append(
            f"**{_count(missing, 'planned cell')} of {len(folder.run.plan)} not measured**: "
            f"{code(f'bench run --resume {shlex.quote(folder.run.id)}')} measures them."
        )
    found += _grouped(
        "**Tried again**: the first try of these cells was killed or disturbed and does not count",
        ((cell.id, _try(cell, earlier)) for cell in folder.everything for earlier in cell.tries),
    )
    return found + _grouped(
        "**Beside the planned phases** something is missing; the planned ones of these cells are whole",
        ((cell.id, cell.beside) for cell in folder.everything if cell.beside is not None),
    )


def _try(cell: record.Cell, earlier: record.Try) -> str:
    """How an earlier try ended, and what it had measured beside what counts."""
    words = f"an earlier try was {earlier.reason}"
    if not earlier.rounds_s:
        return words
    kept = earlier.rounds_s
    step, counts_s = derived.phases(cell).get("train_step"), derived.step_s(cell)
    words += f"; {_count(kept, 'round')} of it {'is' if len(kept) == 1 else 'are'} kept in the record"
    if step is None or counts_s is None:
        return f"{words}; the last try has no step time"
    median_s = stats.median(kept[stats.warmup_end(kept) :]) / step.steps_per_round
    words += f", with a median step time of {number(median_s * 1e3)} ms"
    return f"{words}, {number(counts_s * 1e3)} ms in the one that counts"


def _holes(folder: Folder) -> list[str]:
    holes = [(name, arm.hole) for name, arm in folder.run.arms.items() if arm.hole]
    known = {reason for _, reason in holes}
    holes += [
        (f"{cell.workload}, {cell.contestant}", cell.reason or "")
        for cell in folder.everything
        if cell.status == "hole" and cell.reason not in known
    ]
    return _grouped("**Holes**: not measured, for a stated reason", holes)


def _course(folder: Folder) -> list[str]:
    run = folder.run
    found = [f"{text(note)}." for note in run.notes]
    if run.finished is None:
        because = f" ({text(run.ended_because)})" if run.ended_because else ""
        found.append(f"**The run is not finished**{because}: it goes on, or was interrupted and can be resumed.")
    elif run.ended_because and "budget" in run.ended_because:
        budget = f" of {number(run.budget_s)} s" if run.budget_s else ""
        found.append(f"**The budget**{budget} decided when the run ended: {text(run.ended_because)}.")
    git = run.environment.get("git")
    if isinstance(git, dict) and git.get("dirty"):
        found.append(
            f"**Changed code**: the checkout differed from commit {text(git.get('commit'))}, so that nobody else can "
            "run the same."
        )
    return found


def _unsettled(contests: Iterable[Contest]) -> list[str]:
    found = [
        f"  - {short(contest.workload)}, {short(arm.contestant)}: block{'s' if len(arm.unsettled) > 1 else ''} "
        + ", ".join(map(str, arm.unsettled))
        for contest in contests
        for arm in [*contest.arms, *([contest.control] if contest.control else [])]
        if arm.unsettled
    ]
    head = (
        "**Not settled**: step times still shifted after the warm-up, so that their median depends on when one looked:"
    )
    more = [f"  - and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return ["\n".join([head, *found[:SHOWN], *more])] if found else []


def _apart(folder: Folder) -> list[str]:
    """Blocks between whose arms something else was measured: what the machine did meanwhile is in their ratios."""
    timed = sorted((cell for cell in folder.cells if cell.wall_s > 0), key=lambda cell: cell.started)
    places: dict[tuple[str, str, int], list[int]] = {}
    for place, cell in enumerate(timed):
        places.setdefault((cell.workload, cell.device, cell.block), []).append(place)
    found: dict[str, list[int]] = {}
    longest_s = 0.0
    for (workload, _, block), mine in places.items():
        if mine[-1] - mine[0] >= len(mine):
            found.setdefault(workload, []).append(block)
            longest_s = max(longest_s, _gap_s(timed[mine[0]], timed[mine[-1]]))
    if not found:
        return []
    names = "; ".join(f"{short(name)}: {', '.join(map(str, sorted(blocks)))}" for name, blocks in found.items())
    return [
        f"**Measured apart** (blocks of {names}): their arms did not run one after another, as where a run is resumed "
        f"in parts or a cell is tried again; up to {longest_s / 3600:.1f} h lie between the starts of two of them, and "
        "what the machine did meanwhile is in their ratios."
    ]


def _gap_s(a: record.Cell, b: record.Cell) -> float:
    return (datetime.fromisoformat(b.started) - datetime.fromisoformat(a.started)).total_seconds()


def _chosen(folder: Folder) -> list[str]:
    """A study of starts adds trainings that are no sample of all seeds; which, its note in the run says."""
    studied = [cell.workload for cell in folder.run.plan if record.STARTS in cell.phases]
    if not studied:
        return []
    return [
        f"**Seeds chosen by their start** ({_names(studied)}): some were trained to see what becomes of such starts; a "
        "median over the seeds of this workload says nothing of all seeds."
    ]


def _uncontrolled(folder: Folder) -> list[str]:
    run = folder.run
    untimed = {derived.CONVERGE, record.STARTS}
    timed = any(cell.workload != record.CEILING and set(cell.phases) - untimed for cell in run.plan)
    if run.control is not None or not timed:
        return []
    return [
        "**No A/A control**: no arm was entered twice, so that nothing is known of this machine's noise beyond the "
        "intervals themselves."
    ]


def _unjudged(folder: Folder) -> list[str]:
    """Of whole trainings whose records do not say what they are judged by."""
    run = folder.run
    trained = dict.fromkeys(cell.workload for cell in run.plan if derived.CONVERGE in cell.phases)
    names = [name for name in trained if name in run.workloads and run.workloads[name].quality is None]
    if not names:
        return []
    return [
        f"**Trainings not judged** ({_names(names)}): these records, of result schema {run.schema}, declare no target "
        "and no margin, as those from schema 3 on do; a new run is judged."
    ]


def _unexplained(folder: Folder) -> list[str]:
    shares = ((cell, ledger.explained(cell)) for cell in folder.everything if cell.status == "ok")
    return _grouped(
        f"**Time unaccounted for**: the parts of these cells differ from their wall time by more than "
        f"{100 * ledger.TOLERANCE:g} %",
        (
            (cell.id, f"{100 * share:.1f} % explained")
            for cell, share in shares
            if share is not None and abs(share - 1) > ledger.TOLERANCE
        ),
    )


def _grouped(heading: str, entries: Iterable[tuple[str, str]]) -> list[str]:
    """One line for the heading, one below it for each different reason."""
    counts = Counter(entries)
    if not counts:
        return []
    lines = [
        f"  - {text(what)}: {text(reason)}" + (f" ({times} times)" if times > 1 else "")
        for (what, reason), times in list(counts.items())[:SHOWN]
    ]
    more = [f"  - and {len(counts) - SHOWN} more, in the section on cells"] if len(counts) > SHOWN else []
    return ["\n".join([f"{heading}:", *lines, *more])]


def _count(entries: Iterable[object], noun: str) -> str:
    number_of = len(list(entries))
    return f"{number_of} {noun}" + ("" if number_of == 1 else "s")


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(short, names))
