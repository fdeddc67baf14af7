"""JUnit XML: a suite per workload and device, a case per cell, so that a CI server lists what was measured.

The form that pytest writes and Jenkins reads: a failure is a cell that failed or an arm that is not the same as the
reference, an error a file that cannot be read, a skipped case a hole or a cell that was not measured. What belongs to
no workload (matrix products, files that nobody planned) has suites of its own, after the others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from bench import record
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible

LONGEST = 4000
"""Characters of a message; the records hold the rest."""
UNPLANNED = "files that belong to no cell of the plan"


@dataclass(frozen=True)
class Case:
    """One line of a CI server's list."""

    suite: str
    group: str
    """The arm: servers list cases below it."""
    name: str
    wall_s: float | None
    """None: nothing ran."""
    kind: str | None = None
    """failure, error or skipped; None: all is well."""
    reason: str = ""
    output: str = ""


def export(folder: Folder, contests: Sequence[Contest]) -> bytes:
    """The whole run."""
    suites: dict[str, list[Case]] = {_suite(*names): [] for names in folder.contests()}
    for case in _cases(folder):
        suites.setdefault(case.suite, []).append(case)
    root = ElementTree.Element("testsuites", name=_legal(f"bench {folder.run.id}"))
    for name, cases in suites.items():
        _add(root, name, cases, _timestamp(folder.run.started))
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _cases(folder: Folder) -> Iterator[Case]:
    for parity in folder.parities:
        suite, kind = _suite(parity.workload, parity.device), None if parity.passed else "failure"
        name = f"parity of {parity.arm} with the reference"
        yield Case(suite, parity.arm, name, parity.wall_s, kind, parity.reason or "")
    for cell in folder.everything:
        kind = {"ok": None, "failed": "failure", "hole": "skipped"}[cell.status]
        suite = _suite(cell.workload, cell.device)
        yield Case(suite, cell.contestant, cell.id, cell.wall_s, kind, cell.reason or "", cell.output_tail)
    planned = {cell.id: cell for cell in folder.run.plan}
    for entry in folder.set_aside:
        of = planned.get(entry.cell) if entry.file.startswith("cells/") else None
        suite, group = (_suite(of.workload, of.device), of.contestant) if of else (UNPLANNED, UNPLANNED)
        yield Case(suite, group, of.id if of else entry.file, None, "error", entry.reason)
    for missing in folder.missing():
        why = folder.run.arms[missing.arm].hole or "planned, not measured"
        yield Case(_suite(missing.workload, missing.device), missing.contestant, missing.id, None, "skipped", why)


def _suite(workload: str, device: str) -> str:
    return f"{'matrix product' if workload == record.CEILING else workload} on {device}"


def _add(root: ElementTree.Element, name: str, cases: Sequence[Case], timestamp: str | None) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_legal(name), tests=str(len(cases)))
    kinds = [case.kind for case in cases]
    for attribute, kind in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        suite.set(attribute, str(kinds.count(kind)))
    suite.set("time", f"{sum(case.wall_s or 0.0 for case in cases):.3f}")
    if timestamp:
        suite.set("timestamp", timestamp)
    for case in cases:
        group = f"{case.suite}.{case.group}" if case.group != case.suite else case.suite
        entry = ElementTree.SubElement(suite, "testcase", classname=_legal(group), name=_legal(case.name))
        if case.wall_s is not None:
            entry.set("time", f"{case.wall_s:.3f}")
        if case.kind:
            problem = ElementTree.SubElement(entry, case.kind, message=_legal(case.reason)[:LONGEST])
            problem.text = "\n".join(map(_legal, case.output.splitlines())) or None


def _legal(value: str) -> str:
    """`value` on one line, without the characters that XML 1.0 cannot hold, escaped or not."""
    return re.sub("[\ufffe\uffff]", lambda found: f"\\u{ord(found.group()):04x}", visible(value))


def _timestamp(started: str) -> str | None:
    """UTC without its zone, as the form has it; None for a record with something else in that place."""
    try:
        return datetime.fromisoformat(started).replace(tzinfo=None).isoformat(timespec="seconds")
    except ValueError:
        return None
