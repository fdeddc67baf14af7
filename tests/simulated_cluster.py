"""A cluster without machines: stations that answer after a simulated time, and die now and then."""

import heapq
import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
from even_cells import a_cell

from bench import record
from bench.data.windows import Source
from bench.fleet.cluster import Answer, Event, Gone, Refusal
from bench.fleet.station import Ready
from bench.interpreters import probe_self
from bench.record import Parity

SOURCE = Source("synthetic", "simulated", ())
REPAIR_S = 30.0
"""A dead machine is back after that, as a new node."""


class SimulatedCluster:
    """`machines` of one class, each of which lives `mean_life_s` at a time, exponentially distributed."""

    address = "simulated"

    def __init__(
        self,
        machines: int,
        digests: dict[str, str],
        mean_life_s: float = float("inf"),
        seed: int = 0,
        *,
        faulty: Mapping[int, Collection[str]] | None = None,
        kinds: Mapping[int, str] | None = None,
        noticed_after_s: float = 0.0,
        interrupted_after: int | None = None,
        never_back: bool = False,
        refusing: Collection[int] = (),
        damaging: Collection[int] = (),
        killer: str | None = None,
        node_stays: bool = False,
    ) -> None:
        """Arms of `faulty` machines fail parity there; `kinds` are other processors; a death is noticed later than it
        is over where `noticed_after_s` is more than `REPAIR_S`; after so many events Ctrl-C is pressed; `refusing`
        machines are not quiet, records of `damaging` ones are not whole; the cell `killer` ends whatever measures it,
        the station alone where its node stays."""
        self._refusing, self._damaging, self._killer, self._node_stays = refusing, damaging, killer, node_stays
        self._faulty, self._kinds = faulty or {}, kinds or {}
        self._noticed_after_s, self._left, self._never_back = noticed_after_s, interrupted_after, never_back
        self.now_s = 0.0
        self.work_s = 0.0
        """Of all cells that were measured to their end."""
        self.deaths = 0
        self._draw = random.Random(seed)
        self._mean_life_s, self._digests = mean_life_s, digests
        self._events: list[tuple[float, int, str, Event]] = []
        self._count = 0
        self._dies_s: dict[str, float] = {}
        self._alive = {f"{number:03d}.0" for number in range(machines)}
        self._returns: list[tuple[float, str]] = []
        self._names: dict[str, str] = {}
        self.busy: dict[str, float] = {}
        """By node: until when it measures. A second question before that is an error."""

    def nodes(self) -> Sequence[str]:
        while self._returns and self._returns[0][0] <= self.now_s:
            self._alive.add(heapq.heappop(self._returns)[1])
        return sorted(self._alive)

    def open(self, node: str) -> None:
        life_s = self._draw.expovariate(1 / self._mean_life_s) if self._mean_life_s < float("inf") else float("inf")
        self._dies_s[node] = self.now_s + life_s

    def ask(self, node: str, what: str, *arguments: Any) -> None:
        assert self.busy.get(node, 0.0) <= self.now_s, f"{node} was asked {what} while it was busy"
        seconds, value = getattr(self, f"_{what}")(node, *arguments)
        done_s = self.now_s + seconds
        if what == "measure" and arguments[0].planned.id == self._killer:
            self._dies_s[node] = min(self._dies_s[node], self.now_s + seconds / 2)
        if self._dies_s[node] < done_s:
            self.deaths += 1
            machine, _, life = node.partition(".")
            if not self._never_back and not self._node_stays:
                heapq.heappush(self._returns, (self._dies_s[node] + REPAIR_S, f"{machine}.{int(life) + 1}"))
            self._put(self._dies_s[node] + self._noticed_after_s, node, Gone(node, "simulated death"))
            return
        self.work_s += seconds if what == "measure" else 0.0
        self.busy[node] = done_s
        refused = what == "examine" and _number(node) in self._refusing
        self._put(done_s, node, Refusal(node, "simulated noise") if refused else Answer(node, value))

    def wait(self, timeout_s: float) -> list[Event]:
        """The next event, or the next return of a machine: simulated time goes on until then, or until `timeout_s`."""
        comes_s = self._returns[0][0] if self._returns else float("inf")
        if timeout_s and not any(entry[0] <= self.now_s + timeout_s for entry in self._events[:1]):
            self.now_s += timeout_s
            return []
        comes_s = float("inf") if timeout_s else comes_s
        if not self._events or comes_s < self._events[0][0]:
            self.now_s = max(self.now_s, comes_s) if comes_s < float("inf") else self.now_s
            return []
        at_s, _, node, event = heapq.heappop(self._events)
        self.now_s = max(self.now_s, at_s)
        if isinstance(event, Gone) and not self._node_stays:
            self._alive.discard(node)
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
        return [event]

    def deferring(self) -> AbstractContextManager[None]:
        return nullcontext()  # its own interruption comes with an answer

    def close(self, node: str) -> None:
        self._events = [entry for entry in self._events if entry[2] != node]
        heapq.heapify(self._events)
        self.busy.pop(node, None)

    def shut(self) -> None:
        self._events.clear()

    def _put(self, at_s: float, node: str, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, node, event))

    def _check_in(self, node: str) -> tuple[float, Any]:
        return 0.1, {"identity": node.partition(".")[0], "code": probe_self(), "python": "3"}

    def _get_ready(self, node: str, run_id: str, name: str, *_: Any) -> tuple[float, Any]:
        self._names[node] = name
        environment = {
            "cpu": self._kinds.get(_number(node), "simulated"),
            "cpu_budget": 2,
            "gpus": [],
            "interpreters": {},
            "code_digest": probe_self(),
        }
        return 1.0, Ready(environment, {}, {key: (digest, SOURCE) for key, digest in self._digests.items()}, 2, 4)

    def _examine(self, node: str, calm_s: float) -> tuple[float, Any]:
        return 1.0, None

    def _hold(self, node: str, pairs: Sequence[tuple[str, str, str]]) -> tuple[float, Any]:
        records = [
            Parity(
                record.SCHEMA,
                key,
                workload,
                arm,
                "cpu",
                self._digests[workload],
                *self._verdict(node, arm),
                (),
                (),
                1.0,
            )
            for workload, arm, key in pairs
        ]
        return 1.0, [record.encode(each) for each in records]

    def _verdict(self, node: str, arm: str) -> tuple[bool, str | None]:
        passed = arm not in self._faulty.get(_number(node), ())
        return passed, None if passed else "simulated fault"

    def _measure(self, node: str, order: Any, left_s: float | None, patient: bool) -> tuple[float, Any]:
        planned = order.planned
        seconds = self._draw.uniform(5, 20)
        name = planned.workload
        cell = a_cell(planned.arm, planned.block, 0.01)
        cell = msgspec.structs.replace(
            cell, id=planned.id, workload=name, label=planned.label, wall_s=seconds, parity=order.parity,
            digest=self._digests.get(name, ""), machine=self._names[node], seed=planned.seed or 0,
        )  # fmt: skip
        whole = record.encode(cell)
        return seconds, whole.replace(b'"threads": 2', b'"threads": 3') if _number(node) in self._damaging else whole

    def _leave(self, node: str) -> tuple[float, Any]:
        return 0.0, None


def _number(node: str) -> int:
    """Of its machine."""
    return int(node.partition(".")[0])
