"""What disturbed the measurement: notices for the top of the report, and the table of every disturbed phase."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import record
from bench.report.folder import Folder
from bench.report.markdown import short, table, text

SHOWN = 8
"""Contestants named in a notice; the table has all."""

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


@dataclass(frozen=True)
class Disturbed:
    """A phase of a cell with tainted rounds."""

    cell: record.Cell
    phase: record.Phase

    @property
    def rounds(self) -> int:
        return sum(self.phase.tainted)

    @property
    def reasons(self) -> list[str]:
        return [reason for taints in self.phase.taints for reason in taints]


def disturbed(folder: Folder) -> list[Disturbed]:
    """In the order of the cells."""
    return [
        Disturbed(cell, phase)
        for cell in folder.everything
        for phase in record.phases(cell).values()
        if any(phase.tainted)
    ]


def notices(folder: Folder) -> list[str]:
    """Markdown lines: how many rounds of whom, by what; where all count although most are tainted."""
    found = disturbed(folder)
    if not found:
        return []
    everything = sum(len(phase.rounds_s) for cell in folder.everything for phase in record.phases(cell).values())
    groups: dict[tuple[str, str], list[Disturbed]] = {}
    for entry in found:
        groups.setdefault((entry.cell.workload, entry.cell.contestant), []).append(entry)
    lines = [
        f"  - {short(workload)}, {short(contestant)}: {_rounds(sum(entry.rounds for entry in mine))}; "
        f"{words(reason for entry in mine for reason in entry.reasons)}"
        for (workload, contestant), mine in groups.items()
    ]
    more = [f"  - and {len(lines) - SHOWN} more, in the section on disturbances"] if len(lines) > SHOWN else []
    head = (
        f"**Disturbed**: while {sum(entry.rounds for entry in found)} of {everything:,} rounds ran, something else was "
        "going on. They are marked and do not count; those of train_step were measured again:"
    )
    notes = ["\n".join([head, *lines[:SHOWN], *more])]
    mostly = _where(entry for entry in found if entry.phase.mostly_tainted)
    if mostly:
        names = [
            f"  - {short(workload)}, {short(contestant)}: "
            + "; ".join(f"{', '.join(map(short, phases))} in {_blocks(blocks)}" for phases, blocks in where.items())
            for (workload, contestant), where in mostly.items()
        ]
        more = [f"  - and {len(names) - SHOWN} more, in the section on disturbances"] if len(names) > SHOWN else []
        head = "**Disturbed and counted**: most rounds of these were disturbed, so that all of them count:"
        notes.append("\n".join([head, *names[:SHOWN], *more]))
    return notes


def disturbances(folder: Folder) -> list[str]:
    """Markdown blocks: the section on them; none for an undisturbed run."""
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
    return ["## Disturbances", table(header, rows, left=3)] if rows else []


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


def _rounds(count: int) -> str:
    return f"{count:,} round" + ("" if count == 1 else "s")
