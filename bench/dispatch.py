"""What a run has left to measure, and which machine measures which block of it, within the budget.

All cells of a block of a workload, on however many devices, are a unit: they are paired, and pairing is only valid on
one machine. A run that is no fleet's has one machine, `HERE`. Nothing here starts a process, and nothing waits.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from bench import catalogue, derived, launch, plan, record, runfolder
from bench.catalogue import Unit, unit
from bench.derived import STRIKES
from bench.execution import Execution
from bench.judgement import dead_start
from bench.profiles import STARTS_TRAINED
from bench.record import CEILING, STARTS, Cell, PlannedCell, Try

HERE = ""
"""The one machine of a run that is no fleet's."""
SLACK = 2.0
"""A cell's epoch may take so many times its estimated share of the time that is left for epochs."""


@dataclass
class Dispatch:
    """Hands out the missing cells of a run in the order of its plan, then those of further blocks.

    A unit that a machine has begun stays its own. One whose machine is gone is measured anew by another, as a whole,
    once nothing else is left.
    """

    execution: Execution
    waiting: list[PlannedCell] = field(default_factory=list)
    """In nobody's hands."""
    held: dict[str, list[PlannedCell]] = field(default_factory=dict)
    """By machine: what is left of its unit, without the cell that is being measured."""
    running: dict[str, PlannedCell] = field(default_factory=dict)
    """By machine."""
    owners: dict[Unit, str] = field(default_factory=dict)
    """Who has begun a unit."""
    done: int = 0
    """So many planned cells have their record."""

    _aside: list[Cell] = field(default_factory=list)
    _nothing_further_at: int | None = None
    """So many cells had their record when no further block was worth measuring, or fitted: nothing is asked twice."""

    def taken_set_aside(self) -> list[Cell]:
        """The records that were set aside since this was asked last."""
        found, self._aside = self._aside, []
        return found

    def __post_init__(self) -> None:
        """Takes into account what was measured before an interruption."""
        execution = self.execution
        for cell in execution.run.plan:
            if (path := execution.path(cell)).exists():
                found = record.read(path, Cell)
                execution.aside(cell).unlink(missing_ok=True)
                execution.add(cell, found)
                execution.display.earlier(found)
                self._owned(cell, found)
                self._plan_chosen(cell)
        missing = runfolder.missing(execution.folder, execution.run)
        self.waiting = [cell for cell in missing if cell in execution.part]
        self.done = len(execution.run.plan) - len(missing)
        self._drop_refused()

    def next(self, machine: str = HERE, present: Collection[str] = (HERE,)) -> PlannedCell | None:
        """The cell the machine is to measure now; None while there is none for it.

        Units of machines that are not `present` are anybody's once nothing else is left. Cells the budget cannot hold
        are left without a record.
        """
        held = self.held.setdefault(machine, [])
        if self.execution.deadline_s is not None:
            self._shorten_block(machine)
        if not held:
            held += self._begin(machine, present)
        if not held:
            return None
        cell = self.running[machine] = held.pop(0)
        return cell

    def order(self, cell: PlannedCell, machine: str = HERE) -> launch.Order | Cell | None:
        """What measuring the cell takes; its record where it cannot be measured; None where the budget has no room."""
        execution, pair = self.execution, (cell.workload, cell.arm)
        contest, shared, prepared = execution.contest, execution.shared, execution.prepared[cell.workload]
        if (hole := contest.hole(cell.workload, cell.arm)) is not None:
            return launch.unmeasured(cell, prepared, shared, "hole", hole)
        parity = execution.parities.get(pair)
        if parity is not None and not parity.passed:
            return launch.unmeasured(cell, prepared, shared, "failed", launch.refused(parity))
        current = plan.with_estimate(cell, execution.estimator)
        late = execution.deadline_s is not None and time.monotonic() + current.estimate_s > execution.deadline_s
        if late or (parity is None and cell.workload != CEILING):
            return None
        return launch.Order(
            current,
            contest.arms[cell.arm],
            prepared,
            parity.id if parity is not None else None,
            execution.last_s,
            self._epoch_limit_s(cell, machine),
        )

    def finished(self, machine: str, cell: PlannedCell, found: Cell | None) -> None:
        """Writes what was found of the cell the machine had; None: nothing, the budget had no room for it."""
        execution = self.execution
        del self.running[machine]
        if found is not None:
            if found.status == "ok" and "epoch" in cell.phases and "epoch" not in derived.phases(found):
                cell = plan.shortened(cell, execution.estimator)
                execution.update(plan=tuple(cell if cell.id == other.id else other for other in execution.run.plan))
                execution.note(
                    f"{cell.id}: epoch and validate are left out, its measured step time says they do not fit"
                )
            aside = execution.aside(cell)
            if aside.exists():
                earlier = record.read(aside, Cell)
                found = msgspec.structs.replace(found, tries=(*earlier.tries, _as_try(earlier), *found.tries))
            execution.write(cell, found)
            aside.unlink(missing_ok=True)
            self._owned(cell, found)
            self.waiting += [added for added in self._plan_chosen(cell) if added in execution.part]
            self.done += 1

    def lost(self, machine: str) -> list[PlannedCell]:
        """Takes back what the machine had in its hands, the cell it was measuring first; that it has begun it stays."""
        back = [cell for cell in (self.running.pop(machine, None),) if cell is not None]
        back += self.held.pop(machine, [])
        self.waiting = back + self.waiting
        return back

    @property
    def idle(self) -> bool:
        """Whether no machine has anything in its hands."""
        return not self.running and not any(self.held.values())

    def to_come(self, machine: str = HERE) -> list[PlannedCell]:
        """What is planned after the cell the machine is measuring."""
        return [*self.held.get(machine, ()), *self.waiting]

    def _owned(self, cell: PlannedCell, found: Cell) -> None:
        if found.wall_s:  # else nobody has tried it
            self.owners[unit(cell)] = found.machine

    def _begin(self, machine: str, present: Collection[str]) -> list[PlannedCell]:
        """The whole unit the machine is to measure next."""
        execution = self.execution
        while True:
            candidates = [cell for cell in self.waiting if self.owners.get(unit(cell), machine) == machine]
            left = plan.affordable(candidates, execution.run.plan, execution.left_s, execution.estimator)
            if dropped := {cell.id for cell in candidates} - {cell.id for cell in left}:
                self.waiting = [cell for cell in self.waiting if cell.id not in dropped]
            if left:
                begun = [cell for cell in left if unit(cell) in self.owners]  # before an interruption
                return self._hand_out(unit((begun or left)[0]), machine)
            if (orphan := self._orphan({machine, *present})) is not None:
                self._set_aside(orphan)
                return self._hand_out(orphan, machine)
            if not (further := self._further_blocks()):
                return []
            self.waiting += further

    def _orphan(self, present: Collection[str]) -> Unit | None:
        """A unit whose machine is gone, and all of which can still be measured; one that cannot is left as it is."""
        execution = self.execution
        for which in dict.fromkeys(unit(cell) for cell in self.waiting if self.owners[unit(cell)] not in present):
            whole = [cell for cell in execution.run.plan if unit(cell) == which]
            if execution.left_s is None or sum(map(execution.estimator.wall_s, whole)) <= execution.left_s:
                return which
        return None

    def _hand_out(self, which: Unit, machine: str) -> list[PlannedCell]:
        self.owners[which] = machine
        taken = [cell for cell in self.waiting if unit(cell) == which]
        self.waiting = [cell for cell in self.waiting if unit(cell) != which]
        return taken

    def _set_aside(self, which: Unit) -> None:
        """Has the measured cells of a unit measured again: their machine will not measure the rest of it."""
        self._nothing_further_at = None  # as many figures will be others
        execution, before = self.execution, self.owners.pop(which)
        there = [cell for cell in execution.run.plan if unit(cell) == which and execution.path(cell).exists()]
        again = []
        for cell in there:
            found = record.read(execution.path(cell), Cell)
            if found.machine == before:
                again.append(cell)
                execution.forget(found)
                self._aside.append(found)
        self.waiting = again + self.waiting
        self.done -= len(again)

    def pass_on(self, which: Unit, machine: str) -> None:
        """Has a unit measured anew by another machine than the one that has begun it and has nothing of it in hand."""
        self._set_aside(which)
        self.owners[which] = machine

    def _plan_chosen(self, cell: PlannedCell) -> list[PlannedCell]:
        """Plans to train the seeds that a study of dead starts singles out, if `cell` is a measured one."""
        execution = self.execution
        if STARTS not in cell.phases or not (path := execution.path(cell)).exists():
            return []
        wanted = dead_start.to_train(record.read(path, Cell).starts, *STARTS_TRAINED)
        seeds = [seed for each in wanted.values() for seed in each]
        added = plan.chosen(execution.contest, cell, seeds, execution.run.plan, execution.estimator)
        if added:
            execution.update(plan=(*execution.run.plan, *added))
            named = ", ".join(f"{state}: {' '.join(map(str, each)) or 'none'}" for state, each in wanted.items())
            execution.note(f"{cell.workload}: seeds chosen to be trained by {cell.arm}, {named}")
        return added

    def _further_blocks(self) -> list[PlannedCell]:
        """The next block of every workload with wide intervals, as far as the budget holds it; it is planned now."""
        execution = self.execution
        profile = execution.shared.profile
        number = 1 + max((cell.block for cell in execution.run.plan), default=0)
        if not profile.blocks < number <= profile.most_blocks:
            return []
        if any(1 <= cell.block <= profile.blocks for cell in self._being_measured()):  # whose figures decide on more
            return []
        if self._nothing_further_at == self.done:  # and no figure has come since
            return []
        # An earlier block of these did not fit; a later one will not either.
        in_hand = {cell.id for cell in self._in_hand()}
        missing = runfolder.missing(execution.folder, execution.run)
        dropped = {cell.workload for cell in missing if cell.id not in in_hand}
        wide = {catalogue.family(name) for name in execution.unsettled()}  # all of them, or no blocks in common
        cells = [
            cell
            for name in plan.shuffled(execution.contest, number)
            if catalogue.family(name) in wide and name not in dropped
            for cell in plan.block(execution.contest, profile, name, number, execution.estimator)
            if not execution.hopeless(name, cell.arm)
        ]
        if cells := plan.affordable(cells, execution.run.plan, execution.left_s, execution.estimator):
            execution.update(plan=(*execution.run.plan, *cells))
        else:
            self._nothing_further_at = self.done
        return cells

    def _in_hand(self) -> Iterable[PlannedCell]:
        yield from self.waiting
        yield from self._being_measured()

    def _being_measured(self) -> Iterable[PlannedCell]:
        yield from self.running.values()
        for held in self.held.values():
            yield from held

    def _replace(self, changed: dict[str, PlannedCell]) -> None:
        """Puts changed cells in the place of those with their ids."""
        self.waiting = [changed.get(cell.id, cell) for cell in self.waiting]
        for held in self.held.values():
            held[:] = [changed.get(cell.id, cell) for cell in held]
        self.execution.update(plan=tuple(changed.get(cell.id, cell) for cell in self.execution.run.plan))

    def _takes_s(self, machine: str, seconds: dict[str, float]) -> float:
        """What cells take, by id: those of the machine's own unit one after the other, the others spread over all."""
        own = {cell.id for cell in self.held.get(machine, ())}
        return sum(s if key in own else s / self.execution.machines for key, s in seconds.items())

    def _shorten_block(self, machine: str) -> None:
        """Leaves epoch and validate out of the rest of a block that would not fit into the budget with them."""
        execution = self.execution
        assert execution.deadline_s is not None, "without a budget everything fits"
        if not (waiting := self.to_come(machine)):
            return
        block = [cell for cell in waiting if cell.block == waiting[0].block and execution.contest.can(cell)]
        if not any("epoch" in cell.phases for cell in block):
            return
        if time.monotonic() >= execution.deadline_s:  # nothing of it will be started
            return
        needed_s = self._takes_s(machine, {cell.id: execution.estimator.wall_s(cell) for cell in block})
        left_s = execution.deadline_s - time.monotonic() - self._reserved_s(block[0].block)
        if needed_s <= left_s:
            return
        self._replace({cell.id: plan.shortened(cell, execution.estimator) for cell in block})
        execution.note(
            f"block {block[0].block}: epoch and validate are left out of its last {len(block)} cells, estimated at "
            f"{needed_s:.0f} s with them, {max(0.0, left_s):.0f} s of the budget are left for it"
        )

    def drop_hopeless(self, cell: PlannedCell) -> None:
        """Gives up what is still to be measured of an arm that had its last chance on a workload with `cell`."""
        pair = cell.workload, cell.arm
        if self.execution.hopeless(*pair) and not self.execution.refused(*pair):
            self._give_up(pair, cell.block, [other.id for other in self._to_be_begun()])

    def _drop_refused(self) -> None:
        """Gives up the arms that fail parity but for block 1, where the reason is recorded."""
        for pair in dict.fromkeys((cell.workload, cell.arm) for cell in self.waiting):
            if self.execution.refused(*pair):
                self._give_up(pair, 1, [other.id for other in self.waiting if other.block > 1])

    def _give_up(self, pair: tuple[str, str], after: int, candidates: Collection[str]) -> None:
        execution = self.execution
        planned = {other.id for other in execution.run.plan if (other.workload, other.arm) == pair}
        dropped = planned.intersection(candidates)
        if not dropped:
            return
        self.waiting = [other for other in self.waiting if other.id not in dropped]
        for held in self.held.values():
            held[:] = [other for other in held if other.id not in dropped]
        execution.update(plan=tuple(other for other in execution.run.plan if other.id not in dropped))
        why = "it fails parity" if execution.refused(*pair) else f"{STRIKES} of its cells failed in a row"
        execution.note(f"{pair[1]} is not tried on {pair[0]} after block {after}: {why}")

    def _to_be_begun(self) -> list[PlannedCell]:
        running = {cell.id for cell in self.running.values()}
        return [cell for cell in self._in_hand() if cell.id not in running]

    def _epoch_limit_s(self, cell: PlannedCell, machine: str) -> float | None:
        """Seconds the cell may spend on epoch and validate so that the rest of its block can have its share too."""
        execution = self.execution
        if execution.deadline_s is None or "epoch" not in cell.phases:
            return None
        wall_s, can = execution.estimator.wall_s, execution.contest.can
        rest = [other for other in self.to_come(machine) if other.block == cell.block and can(other)]
        short_s = {other.id: wall_s(plan.shortened(other, execution.estimator)) for other in (cell, *rest)}
        long_s = {other.id: max(0.0, wall_s(other) - short_s[other.id]) for other in (cell, *rest)}
        own_s = short_s.pop(cell.id)
        reserved_s = own_s + self._takes_s(machine, short_s) + self._reserved_s(cell.block)
        left_s = max(0.0, execution.deadline_s - time.monotonic() - reserved_s)
        mine_s = long_s.pop(cell.id)
        total_s = mine_s + self._takes_s(machine, long_s)
        share = mine_s / total_s if total_s else 1.0
        return left_s * min(1.0, SLACK * share)

    def _reserved_s(self, number: int) -> float:
        """What the epochs of block `number` leave for step times.

        Those of block 1 leave room for the second block, without which there is no interval; later ones for every
        planned block, since each makes the intervals narrower.
        """
        execution = self.execution
        last = 2 if number == 1 else max(cell.block for cell in execution.run.plan)
        later = [cell for cell in execution.run.plan if number < cell.block <= last]
        shortened_s = (execution.estimator.wall_s(plan.shortened(cell, execution.estimator)) for cell in later)
        return sum(shortened_s) / execution.machines


def _as_try(earlier: Cell) -> Try:
    phases = derived.phases(earlier) if earlier.status == "ok" else {}
    timed = phases.get("train_step") or phases.get("converge")
    reason = f"measured on {earlier.machine}, which was gone before the rest of the block was"
    return Try(reason, timed.rounds_s if timed else ())
