"""The table at the end of a run: every contestant of a workload against the fastest, and the answer in words."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import ConsoleOptions, Group, JustifyMethod, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.display.screen import ENDLESS, Screen
from bench.display.standings import Place, Standings
from bench.record import Run
from bench.wording import ratio

LEGEND = "ratio: to the fastest arm's time (A/A control: its own arm's), 95 % interval"
Places = Mapping[str, Sequence[Place]]
"""By workload."""


def verdict_table(run: Run, standings: Standings, screen: Screen) -> Group:
    """A table as wide as it has to be, or where the screen would cut it the same in lines; then one answer a workload.

    The figure of a contestant is the median over blocks; the ratio is over the blocks that both have.
    """
    places = {workload: standings.places(workload) for workload in run.workloads}
    table = _table(run, standings, places, screen)
    wide = Measurement.get(screen, _unbounded(screen), table).maximum > screen.width
    shown: list[RenderableType] = [*_lines(run, standings, places, screen)] if wide else [table]
    words = (f"{workload}: {standings.answer(workload, run.margin)}" for workload in places)
    legend = f"{LEGEND}; tuned arms behind the others" if standings.tuned else LEGEND
    return Group(*shown, Text(legend), "", *(Text(screen.shown(line), style="bold") for line in words))


def _unbounded(screen: Screen) -> ConsoleOptions:
    return screen.options.update(max_width=ENDLESS)


def _table(run: Run, standings: Standings, places: Places, screen: Screen) -> Table:
    units = dict.fromkeys(map(standings.unit, places))
    columns: dict[str, JustifyMethod] = {"arm": "left", " or ".join(units): "right", "ratio": "right"}
    columns |= {"blocks": "right", "verdict": "left"}
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=True)
    for workload, entries in places.items():
        table.add_row(Text(screen.shown(workload), style="bold"))
        for place in entries:
            table.add_row(*map(screen.shown, _row(place, standings, workload, run.margin, place is entries[0])))
        table.add_section()
    return table


def _lines(run: Run, standings: Standings, places: Places, screen: Screen) -> list[Text]:
    lines = []
    for workload, entries in places.items():
        lines.append(Text(screen.shown(f"{workload}, {standings.unit(workload)}"), style="bold"))
        for place in entries:
            name, figure, sure, blocks, verdict = _row(place, standings, workload, run.margin, place is entries[0])
            lines.append(Text(screen.shown(f"{name}  {figure}  {verdict or sure}")))
            if verdict:
                lines.append(Text(screen.shown(f"  {sure}, blocks: {blocks}")))
    return lines


def _row(
    place: Place, standings: Standings, workload: str, margin: float, first: bool
) -> tuple[str, str, str, str, str]:
    """Contestant, figure, ratio, blocks, verdict."""
    if place.time_s is None:
        return place.contestant, "-", place.ended, "0", ""
    sure = ratio(place.effect) if place.effect else "fastest" if first else "-" if place.label else "no common block"
    figure = standings.figure(workload, place.time_s)
    return place.contestant, figure, sure, str(place.blocks), place.verdict(margin) or ""
