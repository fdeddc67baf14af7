"""A run under way: what it has measured, what is left of its budget, and which arms are still worth trying."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import catalogue, derived, doctor, effects, gate, launch, record
from bench.checkup import Check
from bench.contest import Contest, Part
from bench.display.progress import Display
from bench.estimate import Assumptions, Estimator
from bench.implementation import Device
from bench.profiles import PROFILES, Profile
from bench.record import Cell, Parity, PlannedCell, Run

PATIENCE = 0.2
"""Share of the cells that may be measured again because they were disturbed."""
OVERTIME_SHARE = 0.05
"""Share of the budget by which a running cell may overrun it before it is ended."""

BETWEEN_S = 2.0
"""How much of the budget is used is written after every cell; of a plan of `MANY`, which takes a while, less often."""
MANY = 1000


class Patience(NamedTuple):
    """How long, and how often, until a fleet gives something up."""

    poll_s: float = 1.0
    """Between two looks at what has come."""
    nodes_s: float = 5.0
    """Between two looks for machines that have come or gone."""
    calm_s: float = 60.0
    """So long a machine may take to become quiet once everything is prepared on it."""
    join_s: float = 600.0
    """Once a machine of a class is proved it waits so long for others that are on their way."""
    return_s: float = 120.0
    """The block of a machine that went waits so long for it to come back."""
    first_s: float = 600.0
    """A fleet waits so long for its first machine: it may have an image of some gigabytes to pull."""
    answer_s: float = 60.0
    """A node that has not said by then which machine it is keeps no other from beginning."""
    losses: int = 3
    """A cell that so many machines were lost with has failed."""
    disturbed: int = 3
    """A machine is retired after so many cells in a row that were disturbed in most of their rounds."""
    deaths: int = 3
    """A node is left out after so many stations in a row that died there without a cell measured."""


@dataclass(frozen=True)
class Setting:
    """What a test may put in place of the real thing."""

    profiles: Mapping[str, Profile] = field(default_factory=lambda: PROFILES)
    assumptions: Assumptions = field(default_factory=Assumptions)
    parity_command: Callable[..., list[str]] = gate.parity_command
    least_limit_s: float = launch.LEAST_LIMIT_S
    data_limit_bytes: int | None = None
    """Of a cell's memory; None: what this machine may use."""
    patience: Patience = field(default_factory=Patience)
    """Of a fleet."""
    look: Callable[[Device], Sequence[Check]] = doctor.look
    """How a machine of a fleet is looked at before it measures."""


@dataclass
class Execution:
    """A run under way."""

    run: Run
    folder: Path
    contest: Contest
    shared: launch.Launch
    prepared: Mapping[str, launch.Prepared]
    estimator: Estimator
    setting: Setting
    display: Display
    deadline_s: float | None
    """Of the monotonic clock."""
    part: Part
    """What is to be measured now."""
    machines: int = 1
    """So many measure at a time."""
    parities: dict[tuple[str, str], Parity] = field(default_factory=dict)
    failures: dict[tuple[str, str], list[Cell]] = field(default_factory=dict)
    """The failed cells in a row, by workload and arm."""
    figures: dict[tuple[str, str, str], dict[int, float]] = field(default_factory=dict)
    """Measured step times by block, of every workload, arm and label."""
    measured: int = 0
    tried_again: int = 0
    cut_off: int = 0
    """Cells that were begun and ended with the budget."""
    _written_s: float = float("-inf")
    """When the run's record was written last."""

    def path(self, cell: PlannedCell | Cell) -> Path:
        """Where the cell's record is, or will be."""
        return self.folder / "cells" / f"{cell.id}.json"

    @property
    def left_s(self) -> float | None:
        """Seconds of the budget that are left; None without one."""
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()

    @property
    def last_s(self) -> float | None:
        """When a cell that overruns the budget is ended."""
        if self.deadline_s is None or self.run.budget_s is None:
            return None
        return self.deadline_s + OVERTIME_SHARE * self.run.budget_s

    def note(self, text: str) -> None:
        """Says it now and keeps it for the report."""
        self.display.say(text)
        self.update(notes=(*self.run.notes, text))

    def update(self, **changes: Any) -> None:
        """Changes the run's record, on disk too."""
        used_s = self.run.used_s if (left_s := self.left_s) is None else (self.run.budget_s or 0.0) - left_s
        self.run = msgspec.structs.replace(self.run, used_s=used_s, **changes)
        record.write(self.folder / "run.json", self.run)
        self._written_s = time.monotonic()

    def add(self, planned: PlannedCell, cell: Cell) -> None:
        """Takes a finished cell into account, measured now or before an interruption."""
        pair = planned.workload, planned.arm
        if cell.status == "failed" and cell.wall_s and not cell.diverged:  # another seed may not
            self.failures.setdefault(pair, []).append(cell)
        elif cell.status == "ok":
            self.failures.pop(pair, None)
        self.measured += cell.wall_s > 0
        self.tried_again += len(cell.tries)
        self.cut_off += cell.status == "hole" and self.contest.can(planned) and cell.wall_s > 0
        if (step_s := derived.step_s(cell)) is not None:
            self.figures.setdefault((cell.workload, cell.arm, cell.label), {})[cell.block] = step_s
        self.estimator.add(planned, cell)

    def forget(self, cell: Cell) -> None:
        """Puts a record aside that does not count any more; the cell is missing again."""
        aside = self.aside(cell)
        aside.parent.mkdir(exist_ok=True)
        self.path(cell).replace(aside)
        self.figures.get((cell.workload, cell.arm, cell.label), {}).pop(cell.block, None)
        if (failed := self.failures.get((cell.workload, cell.arm))) is not None:
            failed[:] = [other for other in failed if other.id != cell.id]

    def aside(self, cell: PlannedCell | Cell) -> Path:
        """Where a record of the cell is kept that does not count any more, until the cell is measured again."""
        return self.folder / "cells" / "set-aside" / f"{cell.id}.json"

    @property
    def patient(self) -> bool:
        """Whether a disturbed cell may be measured again: on a machine that is never quiet, not many are."""
        return self.tried_again <= PATIENCE * self.measured

    def refused(self, workload: str, arm: str) -> bool:
        """Whether the arm has failed the workload's parity gate."""
        parity = self.parities.get((workload, arm))
        return parity is not None and not parity.passed

    def hopeless(self, workload: str, arm: str) -> bool:
        """Whether the arm is not tried on the workload any more."""
        return self.refused(workload, arm) or len(self.failures.get((workload, arm), ())) >= derived.STRIKES

    def unsettled(self) -> list[str]:
        """The workloads whose intervals are not all narrow enough yet.

        Those between arms, and on several devices those of each arm against itself on one.
        """
        return [
            name
            for name in self.run.workloads
            if not effects.enough(self._figures(name), self.run.margin) or self._unsettled_speedup(name)
        ]

    def _unsettled_speedup(self, workload: str) -> bool:
        several = self._figures(workload)
        compared = (self._figures(each) for each in catalogue.on_one_device(workload) if each in self.run.workloads)
        found = (
            effects.effect(several[arm], alone[arm]) for alone in compared for arm in several.keys() & alone.keys()
        )
        return not all(effects.narrow(each, self.run.margin) for each in found if each is not None)

    def _figures(self, workload: str) -> dict[str, dict[int, float]]:
        """Of the contestants that are still tried; the others' intervals will not become narrower."""
        return {
            record.contestant(arm, label): blocks
            for (name, arm, label), blocks in self.figures.items()
            if name == workload and not self.hopeless(workload, arm)
        }

    def write(self, planned: PlannedCell, cell: Cell) -> None:
        """Puts a cell's record on disk, once, and shows it."""
        record.write(self.path(cell), cell)
        self.add(planned, cell)
        if len(self.run.plan) < MANY or time.monotonic() > self._written_s + BETWEEN_S:
            self.update()  # how much of the budget is used
        self.display.cell(cell)
