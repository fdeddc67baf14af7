"""What a cell's record tells once it is read: its phases and their rounds, which of them count, where its time went.

Nothing of it is stored. Raw rounds, their starts and the sentinel's windows are; this follows from them, the same for
the schedule that decides on further blocks, for the screen and for the report.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import msgspec

from bench import stats
from bench.record import SPANS, Cell, CurvePoint, Window
from bench.warmups import warmup_ends

STRIKES = 2
"""So many failed cells in a row of a workload and an arm, and it is not tried again."""
PARTS = tuple(part for name in SPANS for part in (("warm_up", "steady") if name == "train_step" else (name,)))
"""Of a cell's ledger, in the order of its life."""
CONVERGE = "converge"
"""Phase whose rounds are the epochs of a learning curve, one each."""
LOCAL = "local_step"
"""Phase of steps that exchange no gradients, where several devices train together."""
STEADY = ("train_step", LOCAL, "small_step", "aside")
"""Phases of many equal rounds, in which the end of a warm-up is looked for."""


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One phase of a cell, read out of pytest-benchmark's JSON."""

    name: str
    rounds_s: tuple[float, ...]
    """Every timed region in order, warm-up rounds first."""
    steps_per_round: int
    samples_per_round: int
    about: str | None = None
    """Of an aside: what was timed, in words."""
    starts_s: tuple[float, ...] = ()
    """When each round after the earlier ones began, in seconds since the process was started; empty in schema 1."""
    taints: tuple[tuple[str, ...], ...] = ()
    """Of each round: why it is tainted; empty for all in schema 1."""
    earlier_rounds: int = 0
    """So many, from the first, are epochs that a process of before had trained when it was killed: their seconds stand
    in the learning curve; when they began, and what disturbed them, is not known."""
    searched: Sequence[int] = ()
    """Numbers of the rounds, from 0, in which the end of a warm-up is looked for."""
    assumed_rounds: int = 0
    """Of the warm-up, where it is not looked for."""

    @cached_property
    def warmup_rounds(self) -> int:
        """So many rounds, from the first, are not counted: found by `stats.warmup_end`."""
        return self._warmup_rounds(stats.warmup_end(self._searched_s)) if self.searched else self.assumed_rounds

    @property
    def _searched_s(self) -> list[float]:
        return [self.rounds_s[number] for number in self.searched]

    def _warmup_rounds(self, end: int) -> int:
        return self.searched[end] if end else 0

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
        tainted = self.tainted
        if not any(tainted) or self.mostly_tainted:
            return (False,) * self.warmup_rounds + (True,) * (len(tainted) - self.warmup_rounds)
        return tuple(number >= self.warmup_rounds and not disturbed for number, disturbed in enumerate(tainted))

    @property
    def counted_s(self) -> tuple[float, ...]:
        """The rounds that count."""
        return tuple(seconds for seconds, counts in zip(self.rounds_s, self.counted, strict=True) if counts)


def phases(cell: Cell) -> Mapping[str, Phase]:
    """The cell's measured phases by name, in the order they were measured; rounds measured again stand at the end.

    A record does not change, so they are looked for once: a report asks a dozen times of every cell.
    """
    known: Mapping[str, Phase] | None = cell.__dict__.get("phases")
    if known is None:
        known = cell.__dict__["phases"] = MappingProxyType(_phases(cell))
    return known


def _phases(cell: Cell) -> dict[str, Phase]:
    found: dict[str, Phase] = {}
    disturbing = [window for window in cell.watch if window.taints]
    for entry in cell.pytest_benchmark.get("benchmarks", ()):
        extra = entry["extra_info"]
        name, before = extra["phase"], found.get(extra["phase"])
        rounds_s, starts_s = tuple(entry["stats"]["data"]), tuple(extra.get("starts_s", ()))
        disturbed = _taints(disturbing, starts_s, rounds_s)
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
            steps_per_round=extra["steps_per_round"],
            samples_per_round=extra["samples_per_round"],
            about=extra.get("about"),
            starts_s=starts_s,
            taints=disturbed,
            searched=_searched(cell, name, len(rounds_s), disturbed),
            assumed_rounds=int(extra["warmup_rounds"]) if cell.schema == 1 else 0,
        )
    if cell.resumed and CONVERGE in found:
        found[CONVERGE] = _with_earlier_epochs(found[CONVERGE], cell.curve[: cell.resumed[-1]])
    return found


def _with_earlier_epochs(phase: Phase, earlier: Sequence[CurvePoint]) -> Phase:
    return msgspec.structs.replace(
        phase,
        rounds_s=(*(point.train_s for point in earlier), *phase.rounds_s),
        taints=(*((),) * len(earlier), *(phase.taints or ((),) * len(phase.rounds_s))),
        earlier_rounds=len(earlier),
    )


def cold(cell: Cell) -> bool:
    """Whether its compile caches were empty; before schema 5 those of block 1 were, and no others."""
    return cell.block == 1 if cell.cold is None else cell.cold


def best_point(curve: Sequence[CurvePoint], metric: str) -> CurvePoint:
    """The epoch with the best `metric` on the validation set, of equals the first: the least loss, the most accuracy.

    ValueError for a curve without epochs.
    """
    sign = 1 if metric == "loss" else -1
    return min(curve, key=lambda point: sign * point.validation[metric])


def find_warmups(cells: Iterable[Cell]) -> None:
    """Finds the warm-up of every phase of these cells: what each would find by itself, in a tenth of the time."""
    sought = [phase for cell in cells for phase in phases(cell).values() if phase.searched]
    for phase, end in zip(sought, warmup_ends([phase._searched_s for phase in sought]), strict=True):
        phase.__dict__["warmup_rounds"] = phase._warmup_rounds(end)


def step_s(cell: Cell, phase: str = "train_step") -> float | None:
    """The cell's figure: the median step time of the phase's counted rounds; None for a cell without any."""
    step = phases(cell).get(phase) if cell.status == "ok" else None
    return stats.median(step.counted_s) / step.steps_per_round if step and step.counted_s else None


def _searched(cell: Cell, phase: str, rounds: int, disturbed: Sequence[tuple[str, ...]]) -> Sequence[int]:
    """The undisturbed rounds, if they are most: a disturbance that begins is a change-point too."""
    if cell.schema == 1 or phase not in STEADY:
        return ()
    if not any(disturbed):
        return range(rounds)
    quiet = [number for number, reasons in enumerate(disturbed) if not reasons]
    return quiet if len(quiet) > rounds / 2 else range(rounds)


def _taints(
    disturbing: Sequence[Window], starts_s: Sequence[float], rounds_s: Sequence[float]
) -> tuple[tuple[str, ...], ...]:
    """Of each round with a start: why it is tainted."""
    if not disturbing:
        return ((),) * min(len(starts_s), len(rounds_s))
    begun = zip(starts_s, rounds_s, strict=False)
    return tuple(taints(disturbing, start_s, start_s + round_s) for start_s, round_s in begun)


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
    parts = dict.fromkeys(PARTS, 0.0)
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
