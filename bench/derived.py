"""What a cell's record tells once it is read: its phases and their rounds, which of them count, where its time went.

Nothing of it is stored. Raw rounds, their starts and the sentinel's windows are; this follows from them, the same for
the schedule that decides on further blocks, for the screen and for the report.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bench import stats
from bench.record import SPANS, Cell, Window

STRIKES = 2
"""So many failed cells in a row of a workload and an arm, and it is not tried again."""
STEADY = ("train_step", "small_step", "aside")
"""Phases of many equal rounds, in which the end of a warm-up is looked for."""


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One phase of a cell, read out of pytest-benchmark's JSON."""

    name: str
    rounds_s: tuple[float, ...]
    """Every timed region in order, warm-up rounds first."""
    warmup_rounds: int
    """So many rounds, from the first, are not counted: found by `stats.warmup_end`."""
    steps_per_round: int
    samples_per_round: int
    about: str | None = None
    """Of an aside: what was timed, in words."""
    starts_s: tuple[float, ...] = ()
    """When each round began, in seconds since the process was started; empty in schema 1."""
    taints: tuple[tuple[str, ...], ...] = ()
    """Of each round: why it is tainted; empty for all in schema 1."""

    @property
    def tainted(self) -> tuple[bool, ...]:
        """Of each round, whether something disturbed it."""
        return tuple(map(bool, self.taints)) or (False,) * len(self.rounds_s)

    @property
    def mostly_tainted(self) -> bool:
        """More than half of the rounds after the warm-up are tainted: then all of them count, as the report says."""
        after = self.tainted[self.warmup_rounds :]
        return sum(after) > len(after) / 2

    @property
    def counted(self) -> tuple[bool, ...]:
        """Of each round, whether it counts: after the warm-up, and not tainted unless most of them are."""
        everything = self.mostly_tainted
        return tuple(
            number >= self.warmup_rounds and (everything or not tainted) for number, tainted in enumerate(self.tainted)
        )

    @property
    def counted_s(self) -> tuple[float, ...]:
        """The rounds that count."""
        return tuple(seconds for seconds, counts in zip(self.rounds_s, self.counted, strict=True) if counts)


def phases(cell: Cell) -> dict[str, Phase]:
    """The cell's measured phases by name, in the order they were measured; rounds measured again stand at the end."""
    found: dict[str, Phase] = {}
    for entry in cell.pytest_benchmark.get("benchmarks", ()):
        extra = entry["extra_info"]
        name, before = extra["phase"], found.get(extra["phase"])
        rounds_s, starts_s = tuple(entry["stats"]["data"]), tuple(extra.get("starts_s", ()))
        disturbed = tuple(
            taints(cell.watch, start_s, start_s + round_s) for start_s, round_s in zip(starts_s, rounds_s, strict=False)
        )
        if before is not None:
            found[name] = msgspec.structs.replace(
                before,
                rounds_s=before.rounds_s + rounds_s,
                starts_s=before.starts_s + starts_s,
                taints=before.taints + disturbed,
            )
            continue
        found[name] = Phase(
            name=name,
            rounds_s=rounds_s,
            warmup_rounds=_warmup_rounds(cell, extra, rounds_s, disturbed),
            steps_per_round=extra["steps_per_round"],
            samples_per_round=extra["samples_per_round"],
            about=extra.get("about"),
            starts_s=starts_s,
            taints=disturbed,
        )
    return found


def step_s(cell: Cell, phase: str = "train_step") -> float | None:
    """The cell's figure: the median step time of the phase's counted rounds; None for a cell without one."""
    step = phases(cell).get(phase) if cell.status == "ok" else None
    return None if step is None else stats.median(step.counted_s) / step.steps_per_round


def _warmup_rounds(
    cell: Cell, extra: dict[str, Any], rounds_s: tuple[float, ...], disturbed: tuple[tuple[str, ...], ...]
) -> int:
    """Rounds of the warm-up: found in the undisturbed ones, since a disturbance that begins is a change-point too."""
    if cell.schema == 1:
        return int(extra["warmup_rounds"])  # assumed, in those days
    if extra["phase"] not in STEADY:
        return 0
    quiet = [number for number, reasons in enumerate(disturbed) if not reasons] if disturbed else []
    if len(quiet) <= len(rounds_s) / 2:
        quiet = list(range(len(rounds_s)))
    found = stats.warmup_end([rounds_s[number] for number in quiet])
    return quiet[found] if found else 0


def taints(windows: Sequence[Window], start_s: float, end_s: float) -> tuple[str, ...]:
    """Why a round is tainted: every reason of the windows it lies in, each once."""
    reasons = (
        reason for window in windows if window.start_s < end_s and start_s < window.end_s for reason in window.taints
    )
    return tuple(dict.fromkeys(reasons))


def ledger(cell: Cell) -> dict[str, float]:
    """Where the cell's time went: seconds by part, in the order of a cell's life; empty where nothing is known.

    The parts are those of `SPANS`, with `train_step` divided into its `warm_up` rounds, its `steady` rounds and what
    the suite did between them.
    """
    names = [part for name in SPANS for part in (("warm_up", "steady") if name == "train_step" else (name,))]
    parts = dict.fromkeys(names, 0.0)
    stepping_s = 0.0
    for span in cell.ledger:
        if span.name == "train_step":
            stepping_s += span.end_s - span.start_s
        else:
            parts[span.name] += span.end_s - span.start_s
    step = phases(cell).get("train_step")
    if step is not None:
        parts["warm_up"] = sum(step.rounds_s[: step.warmup_rounds])
        parts["steady"] = sum(step.rounds_s[step.warmup_rounds :])
    parts["suite"] += stepping_s - parts["warm_up"] - parts["steady"]
    return parts if cell.ledger else {}
