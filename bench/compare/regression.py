"""`--fail-on regression:5%`: which contestants of a run are proved to take longer than in an earlier one, by how much.

The question is decided by intervals alone: one that lies wholly above the limit fails, one that holds the limit is
undecided and does not. A time that run B lacks is no slower time; whoever measured B was told by that run's exit code.
"""

from dataclasses import dataclass

from bench.compare import Comparison, Lost, Shift
from bench.errors import UsageError
from bench.record import CONTROL, contestant


@dataclass(frozen=True)
class Regressions:
    """Every time that run A has, by what is known of it in B. The A/A control's second entry is in none."""

    limit: float
    """B may take 1 + this times as long as A."""
    failed: tuple[Shift, ...]
    """The 95 % interval of the ratio lies wholly above the limit."""
    passed: tuple[Shift, ...]
    """It lies wholly at or below."""
    undecided: tuple[Shift, ...]
    """It holds the limit, or one block gives no interval."""
    lost: tuple[Lost, ...]
    """In A and not in B."""


def regressions(found: Comparison, limit: float) -> Regressions:
    """Judges every time of A by `limit`.

    A UsageError where the limit is below the margin of A: what the verdicts call the SAME would fail.
    """
    if limit < found.a.margin:
        margin = f"{100 * found.a.margin:g}%"
        raise UsageError(
            f"--fail-on regression:{100 * limit:g}%: within {margin}, the margin of run A, times are the same; "
            f"name at least {margin}, or measure A with a smaller --margin"
        )
    again = contestant(found.a.control, CONTROL) if found.a.control else None
    shifts = [shift for shift in found.shifts if shift.contestant != again]
    failed = tuple(shift for shift in shifts if shift.ratio.low > 1 + limit)
    passed = tuple(shift for shift in shifts if shift.ratio.high <= 1 + limit)
    return Regressions(
        limit,
        failed,
        passed,
        undecided=tuple(shift for shift in shifts if shift not in (*failed, *passed)),
        lost=tuple(each for each in found.lost if each.contestant != again),
    )
