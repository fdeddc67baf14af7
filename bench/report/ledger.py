"""Where the time of a cell's process went: the parts of its ledger for every arm, and the time to first result."""

from collections.abc import Sequence

from bench import derived, record, stats
from bench.report.contest import Contest
from bench.report.markdown import short, table

TO_FIRST_RESULT = ("interpreter", "data", "import", "build", "stage", "first_step")
"""Parts between the start of the process and the first update; the suite's own work in between is not among them."""
TOLERANCE = 0.02
"""The parts of a cell must sum to its wall time within this share."""
NOTE = (
    "Seconds, median over the cells that had the part; in brackets how many they were where not all had it, so that a "
    "column need not sum to its wall time. suite: what this suite does beside (collecting, checks, writing); steady: "
    "the rounds of train_step after the warm-up; checks: the self-test of the clock, the step of a part of a batch. "
    "Explained: sum of the parts over the wall time, lowest to highest cell."
)


def first_result_s(cell: record.Cell) -> float | None:
    """From the start of the process to the first update done; None where that is not known."""
    parts = derived.ledger(cell)
    return sum(parts[name] for name in TO_FIRST_RESULT) if parts.get("first_step") else None


def explained(cell: record.Cell) -> float | None:
    """Sum of the parts over the wall time; None without a ledger."""
    parts = derived.ledger(cell)
    return sum(parts.values()) / cell.wall_s if parts and cell.wall_s > 0 else None


def where_the_time_goes(contest: Contest) -> list[str]:
    """Markdown blocks: one table for cold cells, one for warm ones; none where nothing is known."""
    known = [cell for cell in contest.cells if cell.block and cell.ledger and not cell.label]
    blocks = []
    cold = [cell for cell in known if derived.cold(cell)]
    first = "Block 1" if all(cell.block == 1 for cell in cold) else "The first block of each machine"
    for title, cells in (
        (f"{first}, compile caches empty:", cold),
        ("Later blocks, compile caches kept:", [cell for cell in known if not derived.cold(cell)]),
    ):
        if cells:
            blocks += [title, _table(contest, cells)]
    return [*blocks, NOTE] if blocks else []


def _table(contest: Contest, cells: Sequence[record.Cell]) -> str:
    arms = [arm.arm for arm in contest.arms if any(cell.arm == arm.arm for cell in cells)]
    by_arm = {arm: [cell for cell in cells if cell.arm == arm] for arm in arms}
    ledgers = {arm: [derived.ledger(cell) for cell in mine] for arm, mine in by_arm.items()}
    parts = dict.fromkeys(part for mine in ledgers.values() for parts in mine for part, s in parts.items() if s)
    rows = [[short(part), *(_part([each[part] for each in ledgers[arm]]) for arm in arms)] for part in _ordered(parts)]
    rows.append(["wall", *(_seconds([cell.wall_s for cell in by_arm[arm]]) for arm in arms)])
    rows.append(["explained", *(_explained(by_arm[arm]) for arm in arms)])
    return table(["part", *map(short, arms)], rows)


def _ordered(parts: dict[str, None]) -> list[str]:
    """In the order of a cell's life."""
    order = [part for name in record.SPANS for part in (("warm_up", "steady") if name == "train_step" else (name,))]
    return [part for part in order if part in parts]


def _part(seconds: Sequence[float]) -> str:
    had = [s for s in seconds if s]
    if not had:
        return "-"
    return _seconds(had) + (f" ({len(had)})" if len(had) < len(seconds) else "")


def _seconds(values: Sequence[float]) -> str:
    """To a hundredth, so that a column can be compared by eye."""
    middle = stats.median(values)
    return f"{middle:,.2f}" if middle >= 0.005 else "<0.01"


def _explained(cells: Sequence[record.Cell]) -> str:
    shares = sorted(share for cell in cells if (share := explained(cell)) is not None)
    if not shares:
        return "-"
    low, high = (f"{100 * share:.1f}" for share in (shares[0], shares[-1]))
    return f"{low} %" if low == high else f"{low} to {high} %"
