"""How far each arm is from the float64 reference: the worst tensor of every kind of quantity, against its bound."""

import re
from collections.abc import Sequence

from bench.record import Parity, ParityCheck
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import short, table, text

NOTE = (
    "Each cell: error / bound of the tensor of its kind that comes nearest to its bound; error is max|a-b| / max|b| "
    "against the float64 reference, or what the quantity says."
)


def family(quantity: str) -> str:
    """The kind of a quantity, which is what stands before its tensor: `gradient conv1.kernel` → `gradient`."""
    return re.split(r"\b\w+\.\w+", quantity)[0].rstrip(" ,:") or quantity


def parity_table(contest: Contest, parities: Sequence[Parity]) -> list[str]:
    """A row per precision and kind, a column per arm; then what was noted. `parities` may hold other contests' too."""
    mine = [entry for entry in parities if entry.workload == contest.workload and entry.device == contest.device]
    if not mine:
        return ["No parity record in this run."]
    kinds: dict[tuple[str, str], dict[str, list[ParityCheck]]] = {}
    for entry in mine:
        for check in entry.checks:
            by_arm = kinds.setdefault((check.precision, family(check.quantity)), {})
            by_arm.setdefault(entry.arm, []).append(check)
    arms = [entry.arm for entry in mine if entry.checks]
    rows = []
    for (precision, kind), by_arm in kinds.items():
        checks = str(max(map(len, by_arm.values())))
        rows.append([short(precision), text(kind), checks, *(_worst(by_arm.get(arm, [])) for arm in arms)])
    failed = [f"- {short(entry.arm)}: **failed**; {text(entry.reason)}" for entry in mine if not entry.passed]
    notes: dict[str, list[str]] = {}
    for entry in mine:
        for note in entry.notes:
            notes.setdefault(note, []).append(short(entry.arm))
    said = [f"- {', '.join(noted)}: {text(note)}" for note, noted in notes.items()]
    blocks = (
        [table(["precision", "quantity", "checks", *map(short, arms)], rows, left=2), NOTE]
        if rows
        else ["The parity records hold no check."]
    )
    return blocks + (["\n".join([*failed, *said])] if failed or said else [])


def _worst(checks: Sequence[ParityCheck]) -> str:
    if not checks:
        return "-"
    worst = max(checks, key=lambda check: (not check.passed, check.nearness))
    if worst.passed and worst.bound == 0:
        return "equal"
    if worst.error is None:
        return "not comparable **FAILED**"
    return f"{worst.error:.1e} / {worst.bound:.0e}" + ("" if worst.passed else " **FAILED**")


def unproved(folder: Folder) -> list[tuple[str, str]]:
    """Workload and arm of everything that was measured without a parity record that can be read."""
    proved = {(parity.workload, parity.device, parity.arm) for parity in folder.parities}
    measured = dict.fromkeys((cell.workload, cell.device, cell.arm) for cell in folder.cells if cell.status == "ok")
    return [(workload, arm) for workload, device, arm in measured if (workload, device, arm) not in proved]
