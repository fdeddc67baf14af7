"""A run over many machines: it asks them, one question at a time each, and writes down what comes back.

A machine joins in stages, each of which it must pass: `check_in` (the same bench), `get_ready` (the same data),
`examine` (quiet, as `bench doctor` sees it), `hold` (its arms equal to the reference). Then it measures for its class,
whose run has its own folder. The driver keeps nothing in memory that is not on disk or can be asked for again.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench import derived, gate, launch, record, runfolder
from bench.catalogue import unit
from bench.contest import Contest
from bench.data.windows import Source
from bench.display.fleet import FleetDisplay
from bench.display.live import Left
from bench.execution import Setting
from bench.fleet import classes
from bench.fleet.cluster import Answer, Cluster, ClusterLostError, Event, Refusal
from bench.fleet.division import AnswerError, Division, Pair, decoded, enter
from bench.fleet.record import FILE, Begun, Fleet, Loss, Machine
from bench.fleet.station import Ready
from bench.interpreters import probe_self
from bench.launch import LIMIT_FACTOR, Order
from bench.record import CEILING, Cell, PlannedCell, Run

SLACK_S = 300.0
"""Of the limit of a cell on top of twice its own, within which its station ends it."""
LIMITS_S = {"check_in": 300.0, "get_ready": 3600.0, "examine": 300.0, "hold": 2 * gate.LIMIT_S + 60.0}
"""Of the stages before a machine's arms are proved. Data may have to be downloaded; a parity process that something
kills is tried again. A cell ends by limits of its own, and a machine that has stopped leaves the cluster."""


@dataclass
class Member:
    """A node of the cluster and how far it has come."""

    node: str
    stage: str = ""
    """What its station was asked last; `proved` and `idle` where it has answered."""
    name: str = ""
    """Its machine's, once that is known."""
    ready: Ready | None = None
    division: Division | None = None
    to_hold: list[Pair] = field(default_factory=list)
    holding: list[Pair] = field(default_factory=list)
    """What it was asked to hold against the reference last."""
    cell: PlannedCell | None = None
    """What it is measuring."""
    since_s: float = 0.0
    """When it was asked."""
    limit_s: float = float("inf")
    """Of what it was asked last."""
    disturbed: int = 0


class Driver:
    """The run of one fleet, in `folder`; `stored` and the folders in it tell what is done already."""

    def __init__(
        self,
        cluster: Cluster,
        stored: Fleet,
        folder: Path,
        contest: Contest,
        prepared: Mapping[str, launch.Prepared],
        workloads: dict[str, record.Workload],
        setting: Setting,
        display: FleetDisplay,
    ) -> None:
        self.fleet = stored
        self._cluster, self._folder, self._contest, self._setting = cluster, folder, contest, setting
        self._prepared = {**prepared, CEILING: launch.BARE}
        self._workloads, self._display, self._patience = workloads, display, setting.patience
        self._members: dict[str, Member] = {}
        self._divisions: dict[str, Division] = {}
        self._deaths: Counter[str] = Counter()
        """Of stations in a row, by node."""
        self._shunned: set[str] = set()
        """Nodes that are asked no more."""
        self._awaited: dict[str, list[str]] = {}
        """By class: machines that went a short while ago. Looked up once in a turn, so that all of it sees the same."""
        self._looked_s = float("-inf")
        self._busy_s = time.monotonic()

    def run(self) -> bool:
        """Measures until nothing is left that a machine could measure; whether every class has ended its run."""
        try:
            with self._cluster.deferring():
                self._turn()
                while not self._over():
                    self._turn()
        except (KeyboardInterrupt, ClusterLostError):
            for division in self._divisions.values():
                if division.execution.run.finished is None:
                    division.execution.update(ended_because="interrupted")
            self._write(ended_because="interrupted")
            raise
        with contextlib.suppress(ClusterLostError):  # leaving is a courtesy: everything is measured
            for member in self._members.values():
                self._ask(member, "leave")
            self._await_leaving()
        for division in self._divisions.values():
            division.finish(present=bool(self._present(division)))
        # A class none of whose machines got so far as to measure keeps nobody from ending.
        begun = [division.id for division in self._divisions.values() if division.dispatch is not None]
        opened = [read for name in self.fleet.classes if (read := self._stored(name, begun)) is not None]
        whole = bool(opened) and all(run.finished for run in opened)
        because = "every class has ended its run" if whole else "cells are missing: their machines are gone"
        if not opened:
            because = "no machine got so far as to measure"
        self._write(finished=runfolder.now() if whole else None, ended_because=because)
        return whole

    def _turn(self) -> None:
        """Takes what has come, and asks whoever has nothing to do."""
        self._look_for_nodes()
        for event in self._cluster.wait(self._patience.poll_s):
            if event.node in self._members:  # else it has been given up meanwhile
                self._take(self._members[event.node], event)
        within_s = self._patience.return_s
        self._awaited = {each.id: each.returning(within_s) for each in self._divisions.values()}
        self._hold_all()
        self._open_divisions()
        self._assign()
        self._show()

    # Nodes come and go.

    def _look_for_nodes(self) -> None:
        if time.monotonic() < self._looked_s + self._patience.nodes_s:
            return
        self._looked_s = time.monotonic()
        alive = set(self._cluster.nodes())
        for member in list(self._members.values()):
            if member.node not in alive:
                self._gone(member, "its node has left the cluster")
            elif time.monotonic() <= member.since_s + member.limit_s:
                continue
            elif member.stage == "check_in":
                self._leave_out(
                    member,
                    f"no station has come up there in {member.limit_s:.0f} s: another job of Ray's may hold its "
                    "processors; end that one, or wait for it, and resume",
                )
            else:
                self._gone(member, f"no answer to {member.stage} in {member.limit_s:.0f} s")
        for node in sorted(alive - set(self._members) - self._shunned):
            self._members[node] = Member(node)
            self._cluster.open(node)
            self._ask(self._members[node], "check_in")

    def _take(self, member: Member, event: Event) -> None:
        """One step on, or one back."""
        if isinstance(event, Answer):
            after: dict[str, Callable[[Member, Any], None]] = {
                "check_in": self._checked_in,
                "get_ready": self._is_ready,
                "examine": self._examined,
                "hold": self._held,
                "measure": self._measured,
            }
            try:
                after[member.stage](member, event.value)
            except AnswerError as error:
                self._lose(member, str(error))
                self._leave_out(member, str(error))
        elif isinstance(event, Refusal):
            if member.stage == "measure":
                self._lose(member, event.reason)
            self._leave_out(member, event.reason)
        else:
            self._gone(member, event.reason)

    def _gone(self, member: Member, reason: str) -> None:
        """The station is no more. Its node is asked again while it is there: the machine may be as good as before."""
        division, cell = member.division, member.cell
        before = [] if division is None or cell is None else division.lost_with(cell, self.fleet.losses)
        self._lose(member, reason)
        self._forget(member)
        self._deaths[member.node] += not before  # a cell that ends machines is no fault of theirs
        if division is not None and cell is not None and member.name in (loss.machine for loss in before):
            others = [name for name in self._present(division) if name != member.name]
            if others:  # they tell whether it is the cell or the machine
                division.pass_on(cell, others)
        self._looked_s = float("-inf")
        if self._deaths[member.node] >= self._patience.deaths:
            self._shunned.add(member.node)
            reason = f"{self._deaths[member.node]} of its stations died in a row, the last: {reason}"
        elif not member.name and member.node not in self._cluster.nodes():
            return  # nobody has ever heard of it
        self._enter(member, "gone", reason)
        self._display.say(f"{self._name(member)}: gone: {reason}")

    def _lose(self, member: Member, reason: str) -> None:
        """Takes back what the machine had in its hands; a cell that it was measuring is a loss."""
        if (division := member.division) is None or division.dispatch is None:
            return
        division.dispatch.lost(member.name)
        if (cell := member.cell) is None:
            return
        member.cell = None
        spent_s = round(time.monotonic() - member.since_s, 1)
        loss = Loss(member.name, division.id, cell.id, runfolder.now(), spent_s, reason)
        self._write(losses=(*self.fleet.losses, loss))

    def _leave_out(self, member: Member, reason: str | None, state: Any = "left out") -> None:
        self._forget(member)
        if member.division is not None:  # nobody waits for it
            member.division.gone_s.pop(member.name, None)
        self._shunned.add(member.node)
        self._enter(member, state, reason)
        if reason is not None:
            self._display.say(f"{self._name(member)}: {state}: {reason}")

    def _forget(self, member: Member) -> None:
        self._members.pop(member.node, None)
        self._cluster.close(member.node)
        if (division := member.division) is not None:
            division.gone_s[member.name] = time.monotonic()
            self._count_machines(division)

    def _enter(self, member: Member, state: Any, reason: str | None = None, **more: Any) -> None:
        """Puts down what has become of the machine."""
        name = self._name(member)
        known = self.fleet.machines.get(name) or Machine(identity="", state="joining")
        changed = msgspec.structs.replace(known, state=state, reason=reason, **more)
        self._write(machines={**self.fleet.machines, name: changed})

    def _name(self, member: Member) -> str:
        """Its machine's; one that never checked in goes by its node's."""
        return member.name or f"node {member.node[:8]}"

    def _ask(self, member: Member, what: str, *arguments: Any) -> None:
        member.stage, member.since_s, member.limit_s = what, time.monotonic(), LIMITS_S.get(what, float("inf"))
        self._cluster.ask(member.node, what, *arguments)

    # A machine joins.

    def _checked_in(self, member: Member, told: Mapping[str, str]) -> None:
        nameless = self._name(member)
        self._write(machines={name: machine for name, machine in self.fleet.machines.items() if name != nameless})
        known = {machine.identity: name for name, machine in self.fleet.machines.items() if machine.identity}
        member.name = known.get(told["identity"]) or f"m{1 + sum(name[0] == 'm' for name in self.fleet.machines)}"
        before = self.fleet.machines.get(member.name)
        if before is not None and before.state == "retired":
            self._leave_out(member, before.reason or "", "retired")
            return
        if told["code"] != probe_self():
            self._enter(member, "joining", identity=told["identity"])
            self._leave_out(
                member,
                f"its bench is another than the driver's ({told['code'][:12]} under Python {told['python']}, not "
                f"{probe_self()[:12]}); start both from one image, or install the driver's bench there",
            )
            return
        for other in [other for other in self._members.values() if other is not member and other.name == member.name]:
            self._gone(other, "its machine has come back as another node")  # which holds it: the older station is dead
        self._enter(member, "joining", identity=told["identity"])
        options = self._contest.options
        self._ask(member, "get_ready", self.fleet.id, member.name, options, self._setting)

    def _is_ready(self, member: Member, ready: Ready) -> None:
        for name, known in self._workloads.items():
            digest, source = ready.data[name]
            if digest != known.digest:
                return self._leave_out(member, f"its {name} has digest {digest}, the driver's has {known.digest}")
            if source != known.data:
                here, there = _told(source), _told(known.data)
                return self._leave_out(
                    member,
                    f"its data of {name} is not the driver's: {here}, not {there}; give both the same files, in the "
                    "image or BENCH_DATA_DIR, and name --data real or synthetic",
                )
        member.ready = ready
        shared = classes.common(ready.environment, ready.holes)
        class_id = classes.class_id(shared)
        assert self.fleet.classes.get(class_id, shared) == shared, "two classes of one id"
        if class_id not in self.fleet.classes:
            self._write(classes={**self.fleet.classes, class_id: shared})
        self._enter(member, "joining", machine_class=class_id, environment=dict(ready.environment))
        if class_id not in self._divisions:
            self._divisions[class_id] = enter(
                class_id,
                ready,
                self.fleet,
                self._folder,
                self._contest,
                self._prepared,
                self._workloads,
                self._setting,
                self._display.of(class_id),
            )
        member.division = self._divisions[class_id]
        run = member.division.execution.run
        if run.finished and not runfolder.missing(member.division.execution.folder, run):
            if any(found.machine == member.name for found in member.division.cells()):
                return self._leave_out(member, None, "took part")
            return self._leave_out(member, "its class has ended its run", "too late")
        member.division.gone_s.pop(member.name, None)
        self._count_machines(member.division)
        self._ask(member, "examine", self._patience.calm_s)
        return None

    def _examined(self, member: Member, nothing: None) -> None:
        """It waits for the others that are on their way: what proves a machine's arms would disturb one beside it."""
        member.stage, member.limit_s = "quiet", float("inf")

    def _hold_all(self) -> None:
        """Lets quiet machines prove their arms, once no other is looked at, or some take too long."""
        looked_at = any(
            member.stage in ("get_ready", "examine") or self._just_asked(member) for member in self._members.values()
        )
        for member in [member for member in self._members.values() if member.stage == "quiet"]:
            if not looked_at or time.monotonic() > member.since_s + self._patience.join_s:
                assert member.division is not None, "it was ready before"
                member.to_hold = member.division.unproved(member.name)
                self._hold_next(member, member.division)

    def _just_asked(self, member: Member) -> bool:
        """Which machine it is. One that keeps silent must not keep all others waiting."""
        return member.stage == "check_in" and time.monotonic() < member.since_s + self._patience.answer_s

    def _hold_next(self, member: Member, division: Division) -> None:
        assert member.ready is not None, "it was ready before"
        if not member.to_hold:
            member.stage, member.limit_s = "proved", float("inf")
            division.proved_s = division.proved_s or time.monotonic()
            return
        now, member.to_hold = member.to_hold[: member.ready.parallel], member.to_hold[member.ready.parallel :]
        member.holding = now
        asked = [(*pair, division.parity_path(member.name, pair).stem) for pair in now]
        self._ask(member, "hold", asked)

    def _held(self, member: Member, contents: list[bytes]) -> None:
        division = member.division
        assert division is not None, "it was ready before"
        for content in contents:
            division.keep_parity(member.name, content, member.holding)
        if missing := [pair for pair in member.holding if pair not in division.parities[member.name]]:
            raise AnswerError(f"{member.name}: no parity record of {', '.join(map(':'.join, missing))} has come")
        self._hold_next(member, division)

    def _open_divisions(self) -> None:
        """Lets proved machines measure, once it is told of an arm that fails whether it is the arm or the machine."""
        for member in list(self._members.values()):
            division = member.division
            if member.stage != "proved" or division is None or not self._may_open(division):
                continue
            division.judge()
            if (fault := division.fault_of(member.name)) is not None:
                self._leave_out(
                    member, f"{fault.id} fails parity here and not on another machine of its class: {fault.reason}"
                )
                continue
            if division.dispatch is None:
                division.open(self.fleet.begun)
            member.stage = "idle"
            self._enter(member, "took part")

    def _may_open(self, division: Division) -> bool:
        """Whether its machines may measure: they are proved, or some take too long; so with those of no class yet."""
        if division.dispatch is not None:
            return True
        late = time.monotonic() > (division.proved_s or 0.0) + self._patience.join_s
        on_their_way = {*LIMITS_S, "quiet"} - {"check_in"}
        return late or not any(
            self._just_asked(member) or (member.stage in on_their_way and member.division in (division, None))
            for member in self._members.values()
        )

    def _stored(self, class_id: str, begun: Collection[str]) -> Run | None:
        """The run of a class that has begun to measure, now or before."""
        path, cells = self._folder / class_id / "run.json", self._folder / class_id / "cells"
        return record.read(path, Run) if path.exists() and (class_id in begun or any(cells.glob("*.json"))) else None

    def _present(self, division: Division) -> list[str]:
        return [member.name for member in self._members.values() if member.division is division]

    def _count_machines(self, division: Division) -> None:
        present = self._present(division)
        division.execution.machines = max(1, len(present))

    def _assign(self) -> None:
        """Gives every machine that has nothing to do its next cell."""
        joining = [member.name for member in self._members.values() if member.division is None]
        for member in self._members.values():
            division = member.division
            if member.stage != "idle" or division is None or division.dispatch is None:
                continue
            present = [*self._present(division), *joining, *self._awaited.get(division.id, ())]
            while (cell := division.dispatch.next(member.name, present)) is not None:
                if lost := division.set_aside():
                    self._write(losses=(*self.fleet.losses, *lost))
                order = division.order(cell, member.name, self.fleet.losses, self._patience.losses)
                if isinstance(order, Order):
                    self._keep_begun(division, cell, member)
                    division.display.count(division.dispatch.done, len(division.execution.run.plan))
                    left_s = None if order.until_s is None else order.until_s - time.monotonic()
                    self._ask(member, "measure", order, left_s, division.execution.patient)
                    member.cell = cell
                    if "converge" not in cell.phases:  # each epoch of which has the time that a cell has here
                        member.limit_s = (
                            2 * max(self._setting.least_limit_s, LIMIT_FACTOR * order.planned.estimate_s) + SLACK_S
                        )
                    break
                division.dispatch.finished(member.name, cell, order)
                division.dispatch.drop_hopeless(cell)

    def _keep_begun(self, division: Division, cell: PlannedCell, member: Member) -> None:
        begun = Begun(division.id, *unit(cell), member.name)
        if "converge" in cell.phases and begun not in self.fleet.begun:
            same = (begun.machine_class, begun.block, begun.workload)
            others = (each for each in self.fleet.begun if (each.machine_class, each.block, each.workload) != same)
            self._write(begun=(*others, begun))

    def _measured(self, member: Member, content: bytes) -> None:
        division, cell = member.division, member.cell
        assert division is not None, "it was measuring"
        assert division.dispatch is not None, "it was measuring"
        assert cell is not None, "it was measuring"
        found = decoded(content, Cell, f"cell {cell.id} of {member.name}")
        asked = (cell.id, cell.workload, cell.arm, cell.label, cell.block, member.name)
        if (found.id, found.workload, found.arm, found.label, found.block, found.machine) != asked:
            raise AnswerError(f"cell {cell.id} of {member.name}: its answer is of {found.id} on {found.machine}")
        member.cell, member.stage, member.limit_s = None, "idle", float("inf")
        self._deaths.pop(member.node, None)
        division.dispatch.finished(member.name, cell, found)
        division.dispatch.drop_hopeless(cell)
        why = launch.disturbance(found)
        if found.status == "ok" and "train_step" in derived.phases(found):  # others tell nothing of it
            member.disturbed = member.disturbed + 1 if why else 0
        if member.disturbed >= self._patience.disturbed:
            self._retire(member, division, f"{member.disturbed} cells in a row were disturbed, the last one {why}")

    def _retire(self, member: Member, division: Division, reason: str) -> None:
        assert division.dispatch is not None, "it was measuring"
        division.dispatch.lost(member.name)
        self._leave_out(member, reason, "retired")

    # How it ends.

    def _over(self) -> bool:
        """Whether nothing is left to be measured, and nobody is on the way."""
        if any(member.stage not in ("idle", "proved") for member in self._members.values()):
            self._busy_s = time.monotonic()
            return False
        if not any(division.dispatch for division in self._divisions.values()):
            patience = self._patience
            return time.monotonic() > self._busy_s + (patience.return_s if self._shunned else patience.first_s)
        return all(map(self._ended, self._divisions.values()))

    def _ended(self, division: Division) -> bool:
        """Its machines have been asked and there is nothing for them, or it has none; none is awaited."""
        return (division.dispatch is None or division.dispatch.idle) and not self._awaited.get(division.id)

    def _await_leaving(self) -> None:
        until_s = time.monotonic() + self._patience.return_s
        waiting = {member.node for member in self._members.values() if member.stage == "leave"}
        while waiting and time.monotonic() < until_s:
            events = self._cluster.wait(self._patience.poll_s)
            waiting -= {event.node for event in events}

    def _show(self) -> None:
        stages = Counter(member.stage for member in self._members.values())
        opened = [division.dispatch for division in self._divisions.values() if division.dispatch is not None]
        total = sum(len(division.execution.run.plan) for division in self._divisions.values())
        words = ", ".join(f"{count} machine{'' if count == 1 else 's'} {stage}" for stage, count in stages.items())
        self._display.now(words or "no machine yet", sum(dispatch.done for dispatch in opened), total, Left(0.0, 0.0))

    def _write(self, **changes: Any) -> None:
        self.fleet = msgspec.structs.replace(self.fleet, **changes)
        record.write(self._folder / FILE, self.fleet)


def _told(source: Source) -> str:
    """What data is, and which files tell it from other data of the same words."""
    files = ", ".join(f"{file.name} {file.sha256[:12]}" for file in source.files)
    return f"{source.identity} ({files or source.description})"
