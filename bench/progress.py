"""What `bench run` shows while it works: one line for each thing done and, on a terminal, a bar for the rest."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import stats
from bench.record import Cell, Parity, Run, phases

MARKS = {"ok": "[green]ok[/]", "failed": "[red]failed[/]", "hole": "[yellow]hole[/]"}


class Display:
    """Lines to the console; on a terminal a live last line that is redrawn once a second and costs next to nothing."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            refresh_per_second=1,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=None, left="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line of plain text."""
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def now(self, what: str, done: int, total: int, left_s: float | None = None) -> None:
        """What is being done, how much of it is, and the estimated time left."""
        left = "" if left_s is None else f"about {duration(left_s)} left"
        self._progress.update(self._task, description=escape(what), completed=done, total=total, left=left)

    def table(self, table: Table) -> None:
        """A table, as wide as the console."""
        self.console.print(table)

    def parity(self, parity: Parity) -> None:
        """A finished parity process."""
        verdict = "[green]equal to the reference[/]" if parity.passed else "[red]fails parity[/]"
        reason = "" if parity.reason is None else f": {escape(parity.reason)}"
        self.console.print(f"{parity.id}  {verdict}{reason}  {parity.wall_s:.1f} s", highlight=False, soft_wrap=True)

    def cell(self, cell: Cell) -> None:
        """A finished cell."""
        reason = "" if cell.reason is None else f": {escape(cell.reason)}"
        self.console.print(
            f"{cell.id}  {MARKS[cell.status]}{reason}  {cell.wall_s:.1f} s", highlight=False, soft_wrap=True
        )


def step_times(run: Run, cells: Sequence[Cell]) -> Table:
    """Median step time of every workload and arm: the median over blocks of the medians of the counted rounds."""
    table = Table("workload", "arm", "blocks", "median step time (ms)", title=None)
    for workload, arm in dict.fromkeys((cell.workload, cell.arm) for cell in run.plan):
        mine = [cell for cell in cells if (cell.workload, cell.arm) == (workload, arm)]
        steps = [
            found["train_step"] for cell in mine if cell.status == "ok" and "train_step" in (found := phases(cell))
        ]
        medians_s = [stats.median(step.counted_s) / step.steps_per_round for step in steps]
        shown = (
            f"{stats.median(medians_s) * 1000:.3f}" if medians_s else ", ".join({cell.status for cell in mine} - {"ok"})
        )
        table.add_row(workload, arm, str(len(medians_s)), shown or "not measured")
    return table


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
