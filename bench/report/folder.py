"""Reads a run folder: what can be trusted, and what had to be set aside with the reason."""

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import derived, record
from bench.errors import UsageError

SHORTEST_S, LONGEST_S = 1e-9, 1e7
"""A round that is said to have taken less, or more than four months, was not measured."""


@dataclass(frozen=True)
class SetAside:
    """A file of the run that no figure is made from."""

    file: str
    """Relative to the run folder."""
    cell: str
    """Id of the cell or parity record it should hold."""
    reason: str


@dataclass(frozen=True)
class Folder:
    """The records of one run, cells in the order workload, device, block, arm, label."""

    run: record.Run
    cells: tuple[record.Cell, ...]
    ceilings: tuple[record.Cell, ...]
    """Cells that measure a framework's matrix product; of no workload, and in no comparison."""
    parities: tuple[record.Parity, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def everything(self) -> tuple[record.Cell, ...]:
        """Every cell that could be read."""
        return (*self.cells, *self.ceilings)

    def missing(self) -> tuple[record.PlannedCell, ...]:
        """Planned cells that left no file at all, in the order of the plan."""
        known = {cell.id for cell in self.everything} | {entry.cell for entry in self.set_aside}
        return tuple(planned for planned in self.run.plan if planned.id not in known)

    def contests(self) -> tuple[tuple[str, str], ...]:
        """Workload and device of every comparison, in the order of the run's workloads."""
        devices = {(planned.workload, planned.device) for planned in self.run.plan}
        devices |= {(cell.workload, cell.device) for cell in self.cells}
        return tuple(
            (workload, device)
            for workload in self.run.workloads
            for device in sorted({device for name, device in devices if name == workload} or {self.run.device})
        )


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for reference cycles: a large run is hundreds of thousands of objects that have none, and the
    search would take longer than reading them."""
    if not gc.isenabled():  # somebody else's wish, or already in here
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # counts what is new as old, or the search would begin with all of it
            gc.freeze()
            gc.unfreeze()
        gc.enable()


@uncollected()
def load(path: Path) -> Folder:
    """Reads `path`; a UsageError when `run.json` cannot be used. Any other unusable file is set aside, not fatal."""
    run = record.read(path / "run.json", record.Run)
    for planned in run.plan:
        if planned.workload not in (*run.workloads, record.CEILING) or planned.arm not in run.arms:
            raise UsageError(
                f"{path / 'run.json'}: plans cell {planned.id!r} of a workload or arm that it does not list"
            )
    set_aside: list[SetAside] = []
    cells = _read_all(path / "cells", record.Cell, run, set_aside)
    derived.find_warmups(cells)
    parities = _read_all(path / "parity", record.Parity, run, set_aside)
    workloads, arms = [*run.workloads, record.CEILING], list(run.arms)

    def order(entry: record.Cell | record.Parity) -> tuple[Any, ...]:
        block, label = (entry.block, entry.label) if isinstance(entry, record.Cell) else (0, "")
        return workloads.index(entry.workload), entry.device, block, arms.index(entry.arm), label, entry.id

    cells.sort(key=order)
    return Folder(
        run,
        cells=tuple(cell for cell in cells if cell.workload != record.CEILING),
        ceilings=tuple(cell for cell in cells if cell.workload == record.CEILING),
        parities=tuple(sorted(_one_each(parities, cells), key=order)),
        set_aside=tuple(set_aside),
    )


def _one_each(parities: Sequence[record.Parity], cells: Sequence[record.Cell]) -> list[record.Parity]:
    """Of several machines' records of one arm the worst on which a cell rests, else the worst: one for every arm."""
    rested_on = {cell.parity for cell in cells}
    found: dict[tuple[str, str, str], list[record.Parity]] = {}
    for parity in parities:
        found.setdefault((parity.workload, parity.arm, parity.device), []).append(parity)
    chosen = ([each for each in group if each.id in rested_on] or group for group in found.values())
    return [max(group, key=lambda each: (not each.passed, _nearest(each))) for group in chosen]


def _nearest(parity: record.Parity) -> float:
    return max((check.nearness for check in parity.checks), default=0.0)


def _read_all(
    folder: Path, kind: type[record.Record], run: record.Run, set_aside: list[SetAside]
) -> list[record.Record]:
    found = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name):  # as they sort, in a tenth of the time
        reason = None
        try:
            value = record.read(path, kind)
            reason = _unusable(value, run) if value.id == path.stem else f"holds {value.id!r}, not what its name says"
        except UsageError as error:
            reason = str(error).replace(f"{path}: ", "")
        if reason is None:
            found.append(value)
        else:
            set_aside.append(SetAside(f"{folder.name}/{path.name}", path.stem, reason))
    return found


def _unusable(value: Any, run: record.Run) -> str | None:
    """Why a record that can be read may not enter this run's figures."""
    ceiling = value.workload == record.CEILING and isinstance(value, record.Cell)
    if value.arm not in run.arms or not (ceiling or value.workload in run.workloads):
        return f"is of workload {value.workload!r} and arm {value.arm!r}, which this run does not have"
    if not ceiling:
        workload = run.workloads[value.workload]
        if value.digest != workload.digest:
            return f"has workload digest {value.digest}, the run has {workload.digest}: the results are not comparable"
        if isinstance(value, record.Parity):
            return None
        if value.data_identity != workload.data.identity:
            return f"was measured on {value.data_identity} data, the run says {workload.data.identity}"
    try:
        whole = all(
            phase.steps_per_round >= 1
            and phase.samples_per_round >= 1
            and min(phase.rounds_s, default=SHORTEST_S) >= SHORTEST_S
            and max(phase.rounds_s, default=SHORTEST_S) <= LONGEST_S
            and len(phase.starts_s) in (0, len(phase.rounds_s) - phase.earlier_rounds)
            and all(map(math.isfinite, phase.starts_s))
            for phase in derived.phases(value).values()
        )
        strange = {span.name for span in value.ledger} - set(record.SPANS)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        return f"holds rounds in an unknown form ({type(error).__name__}: {error}); delete it and resume the run"
    if strange:
        return f"has {', '.join(sorted(strange))} in its ledger, which no cell has; delete it and resume the run"
    if not whole:
        return "holds a round of no steps, of no possible time or without its start; delete it and resume the run"
    return None
