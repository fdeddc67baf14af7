"""The levels of one step time over many runs, and where it has changed for good.

**Why one run is not enough.** A run's own interval knows the scatter of its blocks, and nothing of what the machine was
like on another day. That can only be seen between runs: in how far they lie from the level of those before. A level is
the geometric mean of its runs; a run lies off it where
- its distance is larger than the margin, and than 99 % of all runs of an unchanged arm keep, judged by the scatter of
  the level's own runs (Student's prediction interval for one more value, on logs). A level of few runs hardly knows its
  scatter: it is taken as if `ASSUMED` earlier runs had scattered by half the margin besides;
- and its interval against the blocks of the level (`effects.unpaired`) lies wholly beyond the margin.

**A change is confirmed** by two successive runs off the level on one side, and begins with the first of them; these two
are the next level. A run off the level with none after it is to be confirmed; one whose successor is back was alone,
and adds to the scatter no more than the level reached then, so that one bad night does not blind it. A run of one
block, or one that lies far off with an interval too wide to tell, is passed over.

Simulated for one arm over 30 runs of six blocks (scatter of blocks 1 %, margin 2 %; `tests/test_levels.py`): where runs
scatter by up to 1 %, no series of a thousand has a confirmed change that was not planted; by 2 %, two in a hundred have
one; by 3 %, seven; by 5 %, twenty-one. A level of two runs finds a planted step of 10 % at its first run nearly always
where runs scatter by up to 1 %; a single run before it finds three of four.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from scipy import special

from bench import effects
from bench.effects import Effect

LEVEL = 0.99
"""So many runs of an unchanged arm keep within a level's reach."""
ASSUMED = 3
"""So many runs, scattered by half the margin, stand for what is known of a machine before any."""

State = Literal["level", "changed", "to be confirmed", "alone", "unresolved"]
"""level: as the runs before, or the first; changed: one of the two that confirm a change; unresolved: passed over."""


@dataclass(frozen=True)
class Level:
    """Successive runs of one step time; `first` and `last` are places in the series."""

    first: int
    last: int
    runs: int
    """So many lie on it; those that were alone or unresolved do not."""
    step_s: float


@dataclass(frozen=True)
class Change:
    """A confirmed one. Runs by their places in the series."""

    before: int
    """The last run on the level before."""
    first: int
    second: int
    before_s: float
    after_s: float
    ratio: Effect
    """Of the two runs' time over the level's, with a 95 % interval from the scatter between runs; the blocks are those
    of the two."""


@dataclass(frozen=True)
class Point:
    """One run's step time, and what it is to the runs before it."""

    place: int
    time: Effect
    """Seconds, with the interval within the run, which one block does not have."""
    state: State


@dataclass(frozen=True)
class Trend:
    """An arm's step times over the runs of a series that have one."""

    points: tuple[Point, ...]
    levels: tuple[Level, ...]
    """In order; none where every run has one block."""
    changes: tuple[Change, ...]


@dataclass
class _Forming:
    """A level while runs are added to it. Times are logs of seconds."""

    margin: float
    places: list[int] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    """A value for each run on it."""
    strays: list[float] = field(default_factory=list)
    """For each run that was alone the reach at its time."""
    blocks: list[float] = field(default_factory=list)
    """Step times of all blocks of the runs on it, in seconds."""

    @property
    def middle(self) -> float:
        return math.fsum(self.held) / len(self.held)

    @property
    def degrees(self) -> int:
        return ASSUMED + len(self.held) + len(self.strays) - 1

    @property
    def scatter(self) -> float:
        """Between runs: a standard deviation."""
        middle = self.middle
        squares = math.fsum([*((value - middle) ** 2 for value in self.held), *(far**2 for far in self.strays)])
        return math.sqrt((ASSUMED * (self.margin / 2) ** 2 + squares) / self.degrees)

    @property
    def reach(self) -> float:
        """A run farther from the middle than this may lie off the level."""
        error = self.scatter * math.sqrt(1 + 1 / len(self.held))
        return max(_quantile(self.degrees, LEVEL) * error, math.log1p(self.margin))

    def side(self, time: float, blocks: Mapping[int, float]) -> int | None:
        """1 or -1 for a run off the level, above or below; 0 for one that is not; None for one that cannot tell."""
        if abs(time - self.middle) <= self.reach:
            return 0
        found = effects.unpaired(blocks, dict(enumerate(self.blocks)))
        assert found is not None, "a run without a figure is not in the trend"
        if found.low > 1 + self.margin:
            return 1
        return -1 if found.high < 1 / (1 + self.margin) else None

    def add(self, place: int, time: float, blocks: Mapping[int, float]) -> None:
        self.places.append(place)
        self.held.append(time)
        self.blocks += blocks.values()

    def ended(self) -> Level:
        return Level(self.places[0], self.places[-1], len(self.places), math.exp(self.middle))

    def change(self, after: "_Forming") -> Change:
        """From this level to one of two runs."""
        distance = after.middle - self.middle
        error = self.scatter * math.sqrt(1 / len(after.held) + 1 / len(self.held))
        half = _quantile(self.degrees, effects.CONFIDENCE) * error
        middle, low, high = (math.exp(distance + end) for end in (0, -half, half))
        ratio = Effect(middle, low, high, blocks=len(after.blocks), detectable=None)
        first, second = after.places
        return Change(self.places[-1], first, second, math.exp(self.middle), math.exp(after.middle), ratio)


def trend(runs: Sequence[Mapping[int, float]], margin: float) -> Trend:
    """The trend of one arm from its step times (s) by block in every run of a series; a run without any is passed over.

    What a run is follows from those before it and the next one that tells: further runs change nothing of the past.
    """
    times = {place: _time(blocks) for place, blocks in enumerate(runs) if blocks}
    states: dict[int, State] = {}
    levels: list[Level] = []
    changes: list[Change] = []
    level, waiting, waiting_side = _Forming(margin), None, 0
    for place, time in times.items():
        log, blocks = math.log(time.ratio), runs[place]
        side = None if time.blocks == 1 else level.side(log, blocks) if level.held else 0
        if side is None:
            states[place] = "unresolved"
            continue
        if waiting is not None and side == waiting_side:
            after = _Forming(margin)
            after.add(waiting, math.log(times[waiting].ratio), runs[waiting])
            after.add(place, log, blocks)
            changes.append(level.change(after))
            levels.append(level.ended())
            states[waiting] = states[place] = "changed"
            level, waiting = after, None
            continue
        if waiting is not None:
            level.strays.append(level.reach)
            states[waiting], waiting = "alone", None
        if side:
            waiting, waiting_side, states[place] = place, side, "to be confirmed"
        else:
            level.add(place, log, blocks)
            states[place] = "level"
    levels += [level.ended()] if level.places else []
    points = tuple(Point(place, time, states[place]) for place, time in times.items())
    return Trend(points, tuple(levels), tuple(changes))


def _time(blocks: Mapping[int, float]) -> Effect:
    """Against a second in every block: the geometric mean in seconds."""
    found = effects.effect(blocks, dict.fromkeys(blocks, 1.0))
    assert found is not None, "only of runs with a figure"
    return found


@lru_cache(maxsize=1024)
def _quantile(degrees: int, level: float) -> float:
    return float(special.stdtrit(degrees, (1 + level) / 2))
