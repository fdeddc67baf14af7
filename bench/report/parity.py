"""How far each arm is from the float64 reference: the worst tensor of every kind of quantity, against its bound."""

import re
from collections.abc import Sequence

from bench.record import Parity, ParityCheck
from bench.report.markdown import short, table, text
from bench.report.summary import Contest


def family(quantity: str) -> str:
    """The kind of a quantity, its tensor left out: `gradient conv1.kernel` → `gradient`."""
    words = (word for word in quantity.split() if not re.fullmatch(r"\w+\.\w+[,;:]?", word))
    return " ".join(words) or quantity


def parity_table(contest: Contest, parities: Sequence[Parity]) -> list[str]:
    """A row per arm and precision, a column per kind; then what was noted. `parities` may hold other contests' too."""
    mine = [entry for entry in parities if entry.workload == contest.workload and entry.device == contest.device]
    if not mine:
        return ["No parity record in this run."]
    cells: dict[tuple[str, str], dict[str, list[ParityCheck]]] = {}
    for entry in mine:
        for check in entry.checks:
            kinds = cells.setdefault((entry.arm, check.precision), {})
            kinds.setdefault(family(check.quantity), []).append(check)
    columns = list(dict.fromkeys(kind for kinds in cells.values() for kind in kinds))
    rows = [
        [short(arm), short(precision), *(_worst(kinds.get(kind, [])) for kind in columns)]
        for (arm, precision), kinds in cells.items()
    ]
    failed = [f"- {short(entry.arm)}: **failed**; {text(entry.reason)}" for entry in mine if not entry.passed]
    notes: dict[str, list[str]] = {}
    for entry in mine:
        for note in entry.notes:
            notes.setdefault(note, []).append(short(entry.arm))
    said = [f"- {', '.join(arms)}: {text(note)}" for note, arms in notes.items()]
    blocks = [table(["arm", "precision", *map(short, columns)], rows, left=2)] if rows else []
    blocks.append(
        "Error / bound; error is max|a-b| / max|b| against the float64 reference, of the worst tensor of its kind."
    )
    return blocks + (["\n".join([*failed, *said])] if failed or said else [])


def _worst(checks: Sequence[ParityCheck]) -> str:
    if not checks:
        return "-"
    worst = max(checks, key=lambda check: (not check.passed, check.error / check.bound if check.bound else check.error))
    return f"{worst.error:.1e} / {worst.bound:.0e}" + ("" if worst.passed else " **FAILED**")
