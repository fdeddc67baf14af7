"""What `bench run` shows while it works: a line for each thing done; on a terminal, below them, what is done now."""

import os
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bench.display.live import Left, Now
from bench.display.screen import Screen
from bench.display.standings import Standings
from bench.display.verdict_table import verdict_table
from bench.errors import tell
from bench.record import Cell, Parity, PlannedCell, Run, tuned

STYLES = {"ok": "green", "failed": "red", "hole": "yellow"}
REDRAWN_PER_S = 1.0


class Display:
    """Lines to a console; on a terminal live ones below them, redrawn once a second at next to no cost."""

    def __init__(self, console: Console) -> None:
        self._screen = Screen(console.file)
        self._standings = Standings()
        self._now = Now()
        self._after: Callable[[], Left] | None = None
        self._live: Live | None = None
        self._heard = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._lower()
        finally:
            if self._screen.redraws:
                self._screen.show_cursor(True)  # whatever an interrupt may have cut short

    def say(self, text: str) -> None:
        """One line of plain text, which is never wrapped."""
        self._print(Text(self._screen.shown(text)))

    def now(self, what: str, done: int, total: int, left: Left | None = None) -> None:
        """What is being done, how much of it is, and the time left."""
        self._after = None
        self._draw(Now(self._screen.shown(what), "", done, total, left))

    def measuring(
        self, cell: PlannedCell, where: str, done: int, total: int, left: Left, after: Callable[[], Left]
    ) -> None:
        """The cell being measured, `where` as in `block 3 of 6`; `after` tells the time left once it is done."""
        what = f"{cell.workload}, {cell.contestant}"
        self._after = after
        self._draw(Now(self._screen.shown(what), where, done, total, left, after(), self._estimate(cell.workload)))

    def entered(self, run: Run) -> None:
        """The run whose cells are measured from now on."""
        self._standings.tuned = tuned(run)

    def earlier(self, cell: Cell) -> None:
        """A cell measured before the run was taken up again."""
        self._standings.add(cell)

    def cell(self, cell: Cell) -> None:
        """A finished cell."""
        figure = self._standings.add(cell)
        self._now.done += 1
        # On a terminal the time left stands below.
        left = self._after().words() if self._after and not self._screen.redraws else ""
        status = self._status(cell.status, cell.status, cell.reason)
        took = f"in {cell.wall_s:.1f} s" + (f" on {cell.machine}" if cell.machine else "")
        self._print(self._row(f"{self._now.count} {cell.id}", status, figure, took, left))

    def estimate(self, workload: str, when: str) -> None:
        """The running estimate of a workload, where no live line has it."""
        if not self._screen.redraws and (parts := self._estimate(workload)):
            self._print(Text(", ".join([f"{when}, {parts[0]}", *parts[1:]])))

    def parity(self, parity: Parity) -> None:
        """A finished parity process."""
        name = "equal to the reference" if parity.passed else "fails parity"
        status = self._status("ok" if parity.passed else "failed", name, parity.reason)
        self._print(self._row(parity.id, status, f"in {parity.wall_s:.1f} s"))

    def verdicts(self, run: Run, cells: Sequence[Cell]) -> None:
        """The table of every workload's contestants and the answer in words, from all cells of the run."""
        self._print(verdict_table(run, Standings(cells, tuned(run)), self._screen))

    def _estimate(self, workload: str) -> list[str]:
        first, *others = self._standings.estimate(workload) or [""]
        return list(map(self._screen.shown, [f"{workload}: {first}", *others])) if first else []

    def _status(self, style: str, name: str, reason: str | None) -> Text:
        return Text.assemble((name, STYLES[style]), self._screen.shown(f": {reason}") if reason else "")

    def _row(self, *parts: str | Text) -> Text:
        return Text("  ").join(Text(part) if isinstance(part, str) else part for part in parts if part)

    def _draw(self, now: Now) -> None:
        """Shows it below the lines; once a time is estimated again every second.

        Before, data may be downloaded, with a bar of its own that nothing must draw over.
        """
        self._now = now
        if not self._screen.redraws:
            return
        ticking = now.left is not None
        if self._live is not None and self._live.auto_refresh == ticking:
            self._live.refresh()
            return
        self._lower()
        self._live = Live(
            console=self._screen,
            auto_refresh=ticking,
            refresh_per_second=REDRAWN_PER_S,
            transient=True,
            get_renderable=lambda: self._now,
        )
        self._live.start(refresh=True)

    def _lower(self) -> None:
        """Takes the live lines away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, what: Text | Group) -> None:
        """Prints; a run that nobody hears any more is interrupted, and what is left to say goes to standard error."""
        if not self._heard:
            tell(str(what))
            return
        try:
            self._screen.print(what, soft_wrap=isinstance(what, Text))
        except OSError as error:
            self._heard = False
            self._screen.quiet = True
            nowhere = os.open(os.devnull, os.O_WRONLY)  # Python would try to write what is left at exit
            os.dup2(nowhere, self._screen.file.fileno())
            os.close(nowhere)
            tell(f"the output cannot be written any more ({error.strerror}); the run ends here")
            signal.raise_signal(signal.SIGINT)
