"""A class of machines and its run: which of its arms are proved, when it may begin, and how it ends.

Its folder is an ordinary run folder; what it is to measure, and on which of its machines, is `bench.dispatch`'s.
"""

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import launch, plan, record, runfolder, runner, schedule
from bench.catalogue import unit
from bench.contest import Contest, Part
from bench.dispatch import Dispatch
from bench.display.fleet import OfClass
from bench.errors import BenchError, UsageError
from bench.execution import Execution, Setting
from bench.fleet.record import Begun, Fleet, Loss
from bench.fleet.station import Ready
from bench.launch import Order, Prepared
from bench.record import Cell, Parity, PlannedCell, Run

Pair = tuple[str, str]
"""Workload and arm."""


class AnswerError(BenchError):
    """What a machine sent is not what it was asked for, or not whole."""


def decoded(content: bytes, kind: type[record.Record], what: str) -> record.Record:
    """The record that a machine sent; an AnswerError where it is none."""
    try:
        return record.decode(
            content, kind, what, "something changes what this machine sends: look at its memory and network"
        )
    except UsageError as error:
        raise AnswerError(str(error)) from error


@dataclass
class Division:
    """A class of machines and its run."""

    id: str
    execution: Execution
    display: OfClass
    dispatch: Dispatch | None = None
    """None until the arms of its first machines are proved."""
    parities: dict[str, dict[Pair, Parity]] = field(default_factory=dict)
    """By machine."""
    gone_s: dict[str, float] = field(default_factory=dict)
    """When machines of it went that are not back."""
    proved_s: float | None = None
    """When its first machine was proved."""
    settled: set[Pair] = field(default_factory=set)
    """What was judged before an interruption: cells stand on it."""

    def unproved(self, machine: str) -> list[Pair]:
        """What the machine has still to hold against the reference."""
        contest, mine = self.execution.contest, self.parities.setdefault(machine, {})
        pairs = ((workload, arm) for workload in contest.workloads for arm in contest.arms)
        return [pair for pair in pairs if pair not in mine and contest.hole(*pair) is None]

    def parity_path(self, machine: str, pair: Pair) -> Path:
        """Where the machine's parity record of the pair lies."""
        return self.execution.folder / "parity" / f"{self.execution.contest.parity_id(*pair)}.{machine}.json"

    def keep_parity(self, machine: str, content: bytes, asked: Collection[Pair]) -> None:
        """Puts a parity record of the machine on disk; an AnswerError where it is of nothing that was asked."""
        found = decoded(content, Parity, f"a parity record of {machine}")
        pair = found.workload, found.arm
        if pair not in asked or found.id != self.parity_path(machine, pair).stem:
            raise AnswerError(f"a parity record of {machine}: nobody has asked for {found.id}")
        if found.digest != self.execution.run.workloads[found.workload].digest:
            raise AnswerError(f"a parity record of {machine}: {found.id} is of another {found.workload}")
        record.write_bytes(self.parity_path(machine, pair), content)
        self.parities[machine][pair] = found
        self.execution.display.parity(found)

    def judge(self) -> None:
        """An arm that fails everywhere is at fault; one that passes somewhere is not. What is judged stays so."""
        known = self.execution.parities
        for mine in self.parities.values():
            for pair, parity in mine.items():
                open_ = self.dispatch is None and pair not in self.settled
                if pair not in known or (open_ and parity.passed and not known[pair].passed):
                    known[pair] = parity

    def restore(self, retired: Collection[str]) -> None:
        """Takes up what is stored: parity records, what was judged by them, whose blocks are not measured to the end.

        These machines, unless `retired`, are awaited like such that went a moment ago.
        """
        execution = self.execution
        folder, run = execution.folder, execution.run
        for path in sorted((folder / "parity").glob("*.json")):
            found = record.read(path, Parity)
            self.parities.setdefault(found.id.rpartition(".")[2], {})[found.workload, found.arm] = found
        missing = {unit(cell) for cell in runfolder.missing(folder, run)}
        for cell in self.cells():
            pair = cell.workload, cell.arm
            proof = self.parities.get(cell.machine, {}).get(pair) if cell.wall_s else self._refusal(cell)
            if proof is not None:
                execution.parities[pair] = proof
                self.settled.add(pair)
            if cell.machine and cell.machine not in retired and unit(cell) in missing:
                self.gone_s[cell.machine] = time.monotonic()

    def fault_of(self, machine: str) -> Parity | None:
        """What fails parity on the machine and not on another one of its class."""
        mine = self.parities[machine].items()
        return next((parity for pair, parity in mine if not parity.passed and not self.execution.refused(*pair)), None)

    def open(self, begun: Iterable[Begun]) -> None:
        """From here the budget runs: what machines do to join is not the class's. What was begun stays whose it was."""
        execution = self.execution
        if execution.run.budget_s is not None:
            execution.deadline_s = time.monotonic() + execution.run.budget_s - execution.run.used_s
        self.dispatch = Dispatch(execution)
        for each in begun:
            if each.machine_class == self.id:
                self.dispatch.owners.setdefault((each.block, each.workload), each.machine)

    def order(self, cell: PlannedCell, machine: str, losses: Sequence[Loss], most: int) -> Order | Cell | None:
        """As `Dispatch.order`, for this machine; a cell that machines were lost in `most` times is tried no more."""
        assert self.dispatch is not None, "it is open"
        order = self.dispatch.order(cell, machine)
        if not isinstance(order, Order):
            return order
        if len(lost := self.lost_with(cell, losses)) >= most:
            reason = f"{most} times a machine was lost while it measured it, the last: {lost[-1].reason}"
            return launch.unmeasured(cell, order.prepared, self.execution.shared, "failed", reason)
        parity = self.parities[machine].get((cell.workload, cell.arm))
        assert parity is not None or cell.workload == record.CEILING, "it has proved all its arms"
        anew = self.execution.aside(cell).exists()
        return dataclasses.replace(order, parity=None if parity is None else parity.id, anew=anew)

    def _refusal(self, cell: Cell) -> Parity | None:
        """The failed parity for which the cell was not measured; None where it was for something else."""
        known = (mine.get((cell.workload, cell.arm)) for mine in self.parities.values())
        failed = [parity for parity in known if parity is not None and not parity.passed]
        return next((parity for parity in failed if launch.refused(parity) == cell.reason), None)

    def lost_with(self, cell: PlannedCell, losses: Sequence[Loss]) -> list[Loss]:
        """The machines that went while they measured it."""
        mine = (self.id, cell.id)
        return [loss for loss in losses if (loss.machine_class, loss.cell) == mine and not loss.measured]

    def cells(self) -> Iterator[Cell]:
        """What its run has measured."""
        for path in sorted((self.execution.folder / "cells").glob("*.json")):
            yield record.read(path, Cell)

    def pass_on(self, cell: PlannedCell, others: Sequence[str]) -> None:
        """Gives the block of a cell to the one of `others` with the least to do, and all of it anew."""
        assert self.dispatch is not None, "it is open"
        held = self.dispatch.held
        self.dispatch.pass_on(unit(cell), min(others, key=lambda name: len(held.get(name, ()))))

    def set_aside(self) -> list[Loss]:
        """What was measured for nothing since this was asked last, as its block had to go to another machine."""
        assert self.dispatch is not None, "it is open"
        reason = "its block was not measured to the end there; all of it is measured again on another machine"
        return [
            Loss(found.machine, self.id, found.id, runfolder.now(), round(found.wall_s, 1), reason, True)
            for found in self.dispatch.taken_set_aside()
        ]

    def returning(self, within_s: float) -> list[str]:
        """Machines that went a short while ago: their blocks wait for them."""
        before_s = time.monotonic() - within_s
        return [name for name, gone_s in self.gone_s.items() if gone_s > before_s]

    def finish(self, *, present: bool) -> None:
        """Closes the run, unless what is missing could be measured by another machine of the class."""
        execution = self.execution
        missing = runfolder.missing(execution.folder, execution.run)
        if missing and not present:
            execution.update(ended_because=f"no machine of this class is left: {len(missing)} cells are missing")
        elif execution.run.finished is None or missing:
            self.display.verdicts(execution.run, schedule.finish(execution))


def enter(
    class_id: str,
    ready: Ready,
    fleet: Fleet,
    folder: Path,
    contest: Contest,
    prepared: Mapping[str, Prepared],
    workloads: dict[str, record.Workload],
    setting: Setting,
    display: OfClass,
) -> Division:
    """The run of a class in the fleet's `folder`: as far as it has come, or new; `ready` is its first machine."""
    options, profile = contest.options, setting.profiles[contest.options.profile]
    entered = dataclasses.replace(contest, holes=ready.holes)
    work = runfolder.work_folder(fleet.id) / "driver" / class_id
    work.mkdir(parents=True, exist_ok=True)
    estimator = runner.estimator_of(entered, profile, ready.threads, setting)
    own = folder / class_id
    if (own / "run.json").exists():
        stored = record.read(own / "run.json", Run)
        runfolder.sweep(own)
    else:
        cells = plan.grid(entered, profile, estimator)
        # The budget of a class begins once parity is proved.
        cells, note = plan.fit(cells, plan.budget_s(options, profile), 0.0, estimator)
        notes, run_id = [note] if note else [], f"{fleet.id}-{class_id}"
        stored = runner.new_run(run_id, entered, profile, workloads, cells, ready.environment, notes)
        own = runfolder.create(folder, stored, class_id)
    shared = launch.Launch(
        profile, work, ready.threads, options.seed, options.device, most_devices=entered.most_devices
    )
    display.entered(stored)
    execution = Execution(stored, own, entered, shared, prepared, estimator, setting, display, None, Part())
    made = Division(class_id, execution, display)
    made.restore([name for name, machine in fleet.machines.items() if machine.state == "retired"])
    return made
