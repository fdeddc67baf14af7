"""How the judgement of whole trainings is written: estimates with their intervals, places, lists of seeds."""

from collections.abc import Iterable, Sequence

from bench.judgement.intervals import Estimate
from bench.judgement.trainings import Training
from bench.report.markdown import short
from bench.wording import number


def place(workload: str, device: str) -> str:
    """`conv on cpu`, as Markdown."""
    return f"{short(workload)} on {short(device)}"


def estimate(found: Estimate | None, kind: str = "difference") -> str:
    """`+0.0123 [+0.0040, +0.0206]`, or `4.21 [3.90, 4.55]` for a ratio; a dash for None."""
    return f"{figure(found, kind)} {interval(found, kind)}" if found else "-"


def figure(found: Estimate | None, kind: str = "difference") -> str:
    """The estimate without its interval."""
    return _value(found.value, kind) if found else "-"


def interval(found: Estimate | None, kind: str = "difference") -> str:
    """`[+0.0040, +0.0206]`; in words where there is none."""
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return "(no interval)"
    return f"[{_value(found.low, kind)}, {_value(found.high, kind)}]"


def _value(value: float, kind: str) -> str:
    if kind == "difference":
        return f"{value + 0.0:+.4f}"  # no minus before a zero
    return number(value)


def count(number_of: int, what: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number_of} {what}" + ("" if number_of == 1 else "s")


def numbers(values: Iterable[object]) -> str:
    """`0, 1, 2`; a dash for none."""
    return ", ".join(map(str, values)) or "-"


def censored(trainings: Sequence[Training]) -> list[str]:
    """A line of Markdown for every training that does not say what its schedule reaches."""
    return [
        f"{short(training.cell)}: {training.fate}" + (f", {short(training.reason)}" if training.reason else "")
        for training in trainings
        if training.censored
    ]
