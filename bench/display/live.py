"""The lines at the bottom of a terminal while a run goes on: what is done now, how long it takes, who is ahead."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

MARGIN = 3
"""Columns left free at the right: a terminal that echoes ^C there must not begin a new line."""
NARROW = 60
"""With fewer columns than these the cell stands on a line of its own."""


@dataclass(frozen=True)
class Left:
    """Estimated time to the end of what is measured, in seconds."""

    least_s: float
    most_s: float
    """With all further blocks that may follow, as far as the budget allows."""

    def words(self) -> str:
        """`about 12 min left`, or from when to when; empty at the end."""
        least, most = duration(self.least_s), duration(self.most_s)
        if least == most:
            return "" if most == "0 s" else f"about {most} left"
        if least == "0 s":
            return f"up to {most} left"
        for unit in (" s", " min"):
            if most == f"{most.split(' ')[0]}{unit}":
                least = least.removesuffix(unit)
        return f"{least} to {most} left"


@dataclass
class Now:
    """What is being done; drawn again, it tells the time that has gone by."""

    what: str = "preparing"
    where: str = ""
    """Of a cell: which block of how many."""
    done: int = 0
    total: int = 0
    left: Left | None = None
    then: Left = field(default_factory=lambda: Left(0.0, 0.0))
    """What is left once it is done."""
    ahead: Sequence[str] = ()
    """The running estimate in parts, the first of which names the workload."""
    since_s: float = field(default_factory=time.monotonic)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - MARGIN)
        for number, line in enumerate(self.lines(width)):
            cut = line if cell_len(line) <= width else set_cell_size(line, width)
            yield Text(cut, style="" if number else "bold", no_wrap=True)

    @property
    def count(self) -> str:
        """`[ 7/90]`."""
        return f"[{self.done:>{len(str(self.total))}}/{self.total}]"

    def _left(self, gone_s: float) -> str:
        """In words; what takes longer than estimated leaves no less than what comes after it."""
        if self.left is None:
            return ""
        least_s, most_s = self.left.least_s - gone_s, self.left.most_s - gone_s
        return Left(max(least_s, self.then.least_s), max(most_s, self.then.most_s)).words()

    def lines(self, width: int) -> list[str]:
        """Two lines, three where they are narrow, one less without an estimate; they fit into 37 columns or more."""
        gone_s = time.monotonic() - self.since_s
        left = self._left(gone_s)
        if self.where and width < NARROW:
            heads = [_longest(width, [[self.count, left], [self.count]], " "), self.what]
        else:
            what, since = f"{self.count} {self.what}", f"{duration(gone_s)} so far" if self.where else ""
            tries = [what, self.where, since, left], [what, self.where, left], [what, left], [what]
            heads = [_longest(width, tries)]
        return [*heads, _fitting(width, self.ahead)] if self.ahead else heads


def _longest(width: int, tries: Sequence[Sequence[str]], between: str = ", ") -> str:
    """The first whose parts fit in a line; the last where none does."""
    lines = [between.join(filter(None, parts)) for parts in tries]
    return next((line for line in lines if cell_len(line) <= width), lines[-1])


def _fitting(width: int, parts: Sequence[str]) -> str:
    """As many of the parts as fit whole, and how many are left out."""
    counts = range(len(parts), 0, -1)
    tries = [[*parts[:count], f"{len(parts) - count} more" if count < len(parts) else ""] for count in counts]
    return _longest(width, [*tries, parts[:1]])


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
