"""What `bench run` shows while it works: one line for each thing done and, on a terminal, a bar for the rest."""

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import effects, stats
from bench.derived import step_s
from bench.record import Cell, Parity, Run, contestant

MARKS = {"ok": "[green]ok[/]", "failed": "[red]failed[/]", "hole": "[yellow]hole[/]"}


COLUMNS: dict[str, JustifyMethod] = {
    "arm": "left",
    "step ms": "right",
    "ratio": "right",
    "blocks": "right",
    "verdict": "left",
}


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
    """Step time of every workload's contestants, each against the fastest arm, the A/A control against its own.

    The figure of a contestant is the median over blocks of the medians of the counted rounds.
    """
    table = Table(
        caption="ratio: to the fastest arm's time (A/A control: its own arm's), 95 % interval",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for name, justify in COLUMNS.items():
        table.add_column(name, justify=justify, no_wrap=True)
    for workload in run.workloads:
        planned = dict.fromkeys((cell.arm, cell.label) for cell in run.plan if cell.workload == workload)
        mine = {
            pair: [cell for cell in cells if (cell.workload, cell.arm, cell.label) == (workload, *pair)]
            for pair in planned
        }
        measured = {pair: {cell.block: step_s(cell) for cell in mine[pair]} for pair in planned}
        figures = {
            pair: known for pair, by in measured.items() if (known := {b: s for b, s in by.items() if s is not None})
        }
        middles_s = {pair: stats.median(list(blocks.values())) for pair, blocks in figures.items()}
        fastest = min((pair for pair in figures if not pair[1]), key=lambda pair: middles_s[pair], default=None)
        table.add_row(f"[bold]{escape(workload)}[/]")
        for pair in sorted(planned, key=lambda pair: (bool(pair[1]), middles_s.get(pair, math.inf))):
            first = escape(contestant(*pair))
            if pair not in figures:
                ended = {cell.status for cell in mine[pair]} - {"ok"}
                table.add_row(first, "-", ", ".join(sorted(ended)) or "not measured", "0")
                continue
            other = (pair[0], "") if pair[1] else fastest
            found = effects.effect(figures[pair], figures.get(other, {})) if other and other != pair else None
            judged = ("fastest" if pair == fastest else "-", str(len(figures[pair])), "")
            if found:
                judged = _ratio(found), str(found.blocks), effects.verdict(found, run.margin)
            table.add_row(first, f"{middles_s[pair] * 1e3:.3f}", *judged)
        table.add_section()
    return table


def _ratio(found: effects.Effect) -> str:
    sure = "(no interval)" if math.isinf(found.high) else f"[{found.low:.3f}, {found.high:.3f}]"
    return f"{found.ratio:.3f} {sure}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
