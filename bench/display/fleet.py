"""What a fleet's run shows: the lines of every class of machines on one screen, and one live line for all of them."""

from rich.console import Console, Group
from rich.text import Text

from bench.display.live import Now
from bench.display.progress import Display


class FleetDisplay(Display):
    """Lines of its own, and those of every class."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._console = console
        self._classes: dict[str, OfClass] = {}

    def of(self, class_id: str) -> "OfClass":
        """Where a class says what it does."""
        return self._classes.setdefault(class_id, OfClass(self, self._console, class_id))

    @property
    def several(self) -> bool:
        """Whether a line has to name its class."""
        return len(self._classes) > 1

    def show(self, what: Text | Group) -> None:
        """Prints a line of a class."""
        self._print(what)


class OfClass(Display):
    """One class of machines: its lines carry its name where there are others."""

    def __init__(self, above: FleetDisplay, console: Console, class_id: str) -> None:
        super().__init__(console)
        self._above, self._class_id = above, class_id

    def count(self, done: int, total: int) -> None:
        """So many of its planned cells have their record."""
        self._now = Now(done=done, total=total)

    def _print(self, what: Text | Group) -> None:
        if not self._above.several:
            self._above.show(what)
        elif isinstance(what, Text):
            self._above.show(Text.assemble(f"{self._class_id}: ", what))
        else:
            self._above.show(Group(Text(f"{self._class_id}:"), what))

    def _draw(self, now: Now) -> None:
        """There is one live line, and it is not a class's."""
        self._now = now
