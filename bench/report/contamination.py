"""What disturbed the measurement: notices for the top of the report, and the section with every disturbed phase."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import derived, record
from bench.report.clocks import clocks
from bench.report.folder import Folder
from bench.report.markdown import short, table, text

SHOWN = 8
"""Contestants named in a notice; the table has all."""

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


@dataclass(frozen=True)
class Disturbed:
    """A phase of a cell with tainted rounds."""

    cell: record.Cell
    phase: derived.Phase

    @property
    def rounds(self) -> int:
        return sum(self.phase.tainted)

    @property
    def counting(self) -> int:
        """Those that count all the same, since most of the phase is disturbed; of a cell that is not ok, none do."""
        both = zip(self.phase.tainted, self.phase.counted, strict=True)
        return sum(tainted and counts for tainted, counts in both) if self.cell.status == "ok" else 0

    @property
    def reasons(self) -> list[str]:
        return [reason for taints in self.phase.taints for reason in taints]


def disturbed(folder: Folder) -> list[Disturbed]:
    """In the order of the cells."""
    return [
        Disturbed(cell, phase)
        for cell in folder.everything
        for phase in derived.phases(cell).values()
        if any(phase.tainted)
    ]


def measured_again(cell: record.Cell, phase: str) -> int:
    """How many rounds of a phase are in a second set, which a cell adds for those that were disturbed."""
    sets = [entry for entry in cell.pytest_benchmark.get("benchmarks", ()) if entry["extra_info"]["phase"] == phase]
    return sum(len(entry["stats"]["data"]) for entry in sets[1:])


def around(cell: record.Cell) -> dict[str, list[record.Window]]:
    """The windows in which the cell's process did not run: those before it and those after it."""
    ended_s = cell.ledger[-1].end_s if cell.ledger else cell.wall_s
    return {
        "before": [window for window in cell.watch if window.end_s <= 0],
        "after": [window for window in cell.watch if window.start_s >= ended_s],
    }


def notices(folder: Folder) -> list[str]:
    """Markdown lines: how many rounds of whom, by what; where all count although most are tainted; and around cells."""
    return [*_of_rounds(folder, disturbed(folder)), *_of_surroundings(folder)]


def _of_rounds(folder: Folder, found: Sequence[Disturbed]) -> list[str]:
    if not found:
        return []
    everything = sum(len(phase.rounds_s) for cell in folder.everything for phase in derived.phases(cell).values())
    groups: dict[tuple[str, str], list[Disturbed]] = {}
    for entry in found:
        groups.setdefault((entry.cell.workload, entry.cell.contestant), []).append(entry)
    lines = [
        f"  - {short(workload)}, {short(contestant)}: {_rounds(sum(entry.rounds for entry in mine))}; "
        f"{words(reason for entry in mine for reason in entry.reasons)}"
        for (workload, contestant), mine in groups.items()
    ]
    more = [f"  - and {len(lines) - SHOWN} more, in the section on disturbances"] if len(lines) > SHOWN else []
    rounds, counting = sum(entry.rounds for entry in found), sum(entry.counting for entry in found)
    again = sum(measured_again(cell, "train_step") for cell in folder.everything)
    parts = [
        f"{_of_them(rounds - counting, 'does', 'do')} not count" if rounds > counting else "",
        f"{_of_them(counting, 'counts', 'count')}, because most of the phase was disturbed (the next notice)"
        if counting
        else "",
        f"{_rounds(again)} of train_step {'was' if again == 1 else 'were'} measured again" if again else "",
    ]
    head = (
        f"**Disturbed**: while {rounds:,} of {everything:,} rounds ran, something else was going on; they are marked. "
        f"{'; '.join(filter(None, parts))}:"
    )
    notes = ["\n".join([head, *lines[:SHOWN], *more])]
    mostly = _where(entry for entry in found if entry.counting)
    if mostly:
        names = [
            f"  - {short(workload)}, {short(contestant)}: "
            + "; ".join(f"{', '.join(map(short, phases))} in {_blocks(blocks)}" for phases, blocks in where.items())
            for (workload, contestant), where in mostly.items()
        ]
        more = [f"  - and {len(names) - SHOWN} more, in the section on disturbances"] if len(names) > SHOWN else []
        head = "**Disturbed and counted**: most rounds of these were disturbed, so that disturbed ones count too:"
        notes.append("\n".join([head, *names[:SHOWN], *more]))
    return notes


def _of_surroundings(folder: Folder) -> list[str]:
    found = _surroundings(folder)
    if not found:
        return []
    times = Counter(when for _, when, _ in found)
    where = " and ".join(f"{when} {times[when]}" for when in ("before", "after") if when in times)
    watched = sum(any(around(cell).values()) for cell in folder.everything)
    reasons = words(reason for _, _, reasons in found for reason in reasons)
    return [
        f"**Before or after a cell**: something else was going on {where} of {watched} cells, when none of their "
        f"rounds ran: {reasons}."
    ]


def _surroundings(folder: Folder) -> list[tuple[record.Cell, str, list[str]]]:
    """Cell, before or after, and why: where something was going on."""
    found = [
        (cell, when, [reason for window in windows for reason in window.taints])
        for cell in folder.everything
        for when, windows in around(cell).items()
    ]
    return [entry for entry in found if entry[2]]


def disturbances(folder: Folder) -> list[str]:
    """Markdown blocks: the section on them, and how fast the machine ran; none where nothing was watched."""
    if not any(cell.watch for cell in folder.everything):
        return []
    rows = [
        [
            text(entry.cell.id),
            short(entry.phase.name),
            words(entry.reasons),
            str(entry.rounds),
            str(len(entry.phase.rounds_s)),
            str(sum(entry.phase.counted)),
        ]
        for entry in disturbed(folder)
    ]
    header = ["cell", "phase", "by", "disturbed", "of rounds", "counted"]
    blocks = ["## Disturbances", table(header, rows, left=3) if rows else "No round was disturbed."]
    around_cells = [[text(cell.id), when, words(reasons)] for cell, when, reasons in _surroundings(folder)]
    if around_cells:
        told = "Before a cell's process was started and after it had ended:"
        blocks += [told, table(["cell", "when", "by"], around_cells, left=3)]
    return [*blocks, *clocks(folder)]


def words(reasons: Iterable[str]) -> str:
    """Reasons that differ in their figures only as one, with the smallest and the largest figure."""
    figures: dict[tuple[str, ...], list[list[float]]] = {}
    for reason in reasons:
        seen = figures.setdefault(tuple(_NUMBER.split(reason)), [])
        seen.append([float(found) for found in _NUMBER.findall(reason)])
    return "; ".join(text(_filled(*entry)) for entry in figures.items())


def _filled(parts: Sequence[str], seen: Sequence[Sequence[float]]) -> str:
    ends = [(min(values), max(values)) for values in zip(*seen, strict=True)]
    shown = [f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends]
    return "".join(part for pair in zip(parts, [*shown, ""], strict=True) for part in pair)


def _where(mostly: Iterable[Disturbed]) -> dict[tuple[str, str], dict[tuple[str, ...], list[int]]]:
    """By workload and contestant: the blocks in which the same phases are concerned."""
    phases: dict[tuple[str, str], dict[int, list[str]]] = {}
    for entry in mostly:
        blocks = phases.setdefault((entry.cell.workload, entry.cell.contestant), {})
        blocks.setdefault(entry.cell.block, []).append(entry.phase.name)
    found: dict[tuple[str, str], dict[tuple[str, ...], list[int]]] = {}
    for key, blocks in phases.items():
        for block, names in blocks.items():
            found.setdefault(key, {}).setdefault(tuple(names), []).append(block)
    return found


def _blocks(numbers: Sequence[int]) -> str:
    return f"block{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _of_them(count: int, one: str, more: str) -> str:
    return f"{count:,} of them {one if count == 1 else more}"


def _rounds(count: int) -> str:
    return f"{count:,} round" + ("" if count == 1 else "s")
