"""Many runs in the order of time: which of them may stand in one series, and the trend of every arm in it.

What may be compared is decided as `bench compare` decides it, in `bench.compare.differences`; what a trend is, in
`bench.history.levels`. Nothing is read or written here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench import compare
from bench.compare import Figures
from bench.compare.differences import comparable, same_machine
from bench.history.levels import Trend, trend
from bench.record import Cell, Run


@dataclass(frozen=True)
class Entry:
    """What a history needs of a run."""

    run: Run
    phase: str
    """Where its step times come from: `train_step`, or `converge` where it has no other."""
    figures: Figures


@dataclass(frozen=True)
class Series:
    """Runs that may be compared with each other, on one workload and device, in the order of their start."""

    workload: str
    device: str
    number: int
    """1 for the first of this workload and device on the machine; others differ in what prevents a comparison."""
    phase: str
    entries: tuple[Entry, ...]
    trends: dict[str, Trend]
    """By arm, in the order in which they first appear; without the A/A control's second entry."""


@dataclass(frozen=True)
class Machine:
    """Hardware that `bench.compare.differences` does not tell apart, and everything measured on it."""

    entries: tuple[Entry, ...]
    series: tuple[Series, ...]


def entry(run: Run, cells: Sequence[Cell]) -> Entry:
    """Of a run's record and its usable cells."""
    steps = compare.figures(cells)
    return Entry(run, "train_step", steps) if steps else Entry(run, "converge", compare.figures(cells, "converge"))


def machines(entries: Iterable[Entry]) -> list[Machine]:
    """Every run on its machine, machines and series in the order of their first run.

    A run joins the first group all of whose runs it may be compared with; what a record does not hold tells nothing
    apart. A run must be given once: a copy of it would confirm what it shows.
    """
    ordered = sorted(entries, key=_start)
    found = _grouped(ordered, lambda one, other: same_machine(one.run, other.run))
    return [Machine(tuple(group), tuple(_all_series(group))) for group in found]


def _start(entry: Entry) -> tuple[str, str]:
    return entry.run.started, entry.run.id


def _all_series(entries: Sequence[Entry]) -> list[Series]:
    found: list[tuple[str, list[Entry]]] = []
    for workload in dict.fromkeys(name for entry in entries for name in entry.run.workloads):

        def alike(one: Entry, other: Entry, workload: str = workload) -> bool:
            return one.phase == other.phase and comparable(one.run, other.run, workload)

        measured = [entry for entry in entries if any(name == workload for name, _ in entry.figures)]
        found += [(workload, group) for group in _grouped(measured, alike)]
    numbers: Counter[tuple[str, str]] = Counter()
    series = []
    for workload, group in sorted(found, key=lambda each: _start(each[1][0])):
        numbers[workload, group[0].run.device] += 1
        series.append(_series(workload, group, numbers[workload, group[0].run.device]))
    return series


def _series(workload: str, group: Sequence[Entry], number: int) -> Series:
    first = group[0]
    arms = dict.fromkeys(arm for entry in group for arm in entry.run.arms if (workload, arm) in entry.figures)
    trends = {arm: trend([entry.figures.get((workload, arm), {}) for entry in group], first.run.margin) for arm in arms}
    return Series(workload, first.run.device, number, first.phase, tuple(group), trends)


def _grouped(entries: Iterable[Entry], alike: Callable[[Entry, Entry], bool]) -> list[list[Entry]]:
    found: list[list[Entry]] = []
    for entry in entries:
        for group in found:
            if all(alike(other, entry) for other in group):
                group.append(entry)
                break
        else:
            found.append([entry])
    return found
