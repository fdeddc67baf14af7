"""Who is ahead on a workload, from its cells as they come: the running estimate, the table at the end, its answer.

The figure of a contestant in a block is its cell's step time, or epoch time where whole schedules are trained; its own
figure is the median over blocks. The ratio is that of times over the blocks both have, to the fastest arm, and for the
A/A control's second entry to the arm itself.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from bench import derived, effects, record, stats, wording
from bench.effects import Effect, Verdict
from bench.ranking import Rank, ranked, sentences
from bench.record import Cell

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Place:
    """Where a contestant stands on a workload."""

    arm: str
    label: str
    time_s: float | None
    """None: nothing was measured."""
    blocks: int
    effect: Effect | None
    """None: it is what the others are held against, or has no block in common with it."""
    ended: str
    """How its cells ended where nothing was measured."""

    @property
    def contestant(self) -> str:
        """Name of the arm, with its label."""
        return record.contestant(self.arm, self.label)

    def verdict(self, margin: float) -> Verdict | None:
        """Whether it is faster, against what it is held against; None without a common block."""
        return effects.verdict(self.effect, margin) if self.effect else None


class Standings:
    """Figures of every workload's contestants by block."""

    def __init__(self, cells: Iterable[Cell] = (), tuned: Container[str] = ()) -> None:
        """`tuned` arms stand behind the others."""
        self.tuned = tuned
        self._figures: dict[str, dict[tuple[str, str], dict[int, float]]] = {}
        self._ended: dict[tuple[str, str, str], set[str]] = {}
        self._by_epoch: set[str] = set()
        for cell in cells:
            self.add(cell)

    def add(self, cell: Cell) -> str:
        """Takes a cell into account; its own figure in words, empty without one."""
        if cell.workload == record.CEILING:
            return ""
        blocks = self._figures.setdefault(cell.workload, {}).setdefault((cell.arm, cell.label), {})
        self._ended.setdefault((cell.workload, cell.arm, cell.label), set()).add(cell.status)
        found_s = derived.step_s(cell) if (by_step := "train_step" in derived.phases(cell)) else _epoch_s(cell)
        if found_s is None:
            return ""
        if not by_step:
            self._by_epoch.add(cell.workload)
        blocks[cell.block] = found_s
        return self.time(cell.workload, found_s) + (" a step" if by_step else " an epoch")

    def unit(self, workload: str) -> str:
        """Of the figures: `step ms` or `epoch s`."""
        return "epoch s" if workload in self._by_epoch else "step ms"

    def time(self, workload: str, time_s: float) -> str:
        """A figure with its unit."""
        return f"{self.figure(workload, time_s)} {self.unit(workload)[-2:].strip()}"

    def figure(self, workload: str, time_s: float) -> str:
        """A figure in its unit."""
        return wording.number(time_s if workload in self._by_epoch else time_s * 1e3)

    def places(self, workload: str) -> list[Place]:
        """Arms by their figures, those without one behind them, the A/A control at the end."""
        blocks = self._figures.get(workload, {})
        middle_s = {pair: stats.median(list(by.values())) for pair, by in blocks.items() if by}
        mine = {arm: by for (arm, label), by in blocks.items() if not label}
        order = [(arm, "") for arm in ranked(mine, self.tuned)]
        found = []
        behind = [pair for pair in sorted(blocks, key=lambda pair: bool(pair[1])) if pair not in order]
        for pair in (*order, *behind):
            other = (pair[0], "") if pair[1] else order[0] if order else None
            effect = effects.effect(blocks[pair], blocks[other]) if other in blocks and other != pair else None
            ended = self._ended[workload, *pair] - {"ok"}
            words = ", ".join(sorted(ended)) or "not measured"
            found.append(Place(*pair, middle_s.get(pair), len(blocks[pair]), effect, words))
        return found

    def estimate(self, workload: str) -> list[str]:
        """The running estimate in parts, the fastest arm first; empty before there is one."""
        parts: list[str] = []
        for place in self.places(workload):
            if place.time_s and not parts:
                parts.append(f"{place.arm} {self.time(workload, place.time_s)}")
            elif place.effect and not place.label:
                parts.append(f"{place.arm} {TIMES}{wording.ratio(place.effect)}")
        return parts

    def answer(self, workload: str, margin: float) -> str:
        """Who is fastest and how far behind the slowest is, as the report says it.

        Where the A/A control shows a difference, that it does.
        """
        every = [place for place in self.places(workload) if place.time_s]
        words = sentences(
            [
                Rank(place.arm, place.effect, place.verdict(margin), place.arm in self.tuned)
                for place in every
                if not place.label
            ]
        )
        for place in every:
            if place.label and place.effect and place.verdict(margin) in ("FASTER", "SLOWER"):
                words.append(f"The A/A control differs from its own arm, {wording.ratio(place.effect)}.")
        return " ".join(words)


def _epoch_s(cell: Cell) -> float | None:
    phase = derived.phases(cell).get("converge") if cell.status == "ok" else None
    return stats.median(phase.counted_s) if phase else None
