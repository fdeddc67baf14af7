"""The end of the report: the cells without figures, the machine, the data, the arms' settings, how to run it again."""

import shlex
from collections.abc import Iterator
from typing import Any

from bench import derived, record
from bench.record import ABSENT
from bench.report.contamination import disturbances
from bench.report.folder import Folder
from bench.report.markdown import code, fence, short, table, text
from bench.report.settings import settings
from bench.wording import number

TAIL_LINES = 15
SEEDS = 10
"""So many are told one by one."""


def appendix(folder: Folder) -> list[str]:
    """Markdown blocks."""
    return [
        *_cells(folder),
        *disturbances(folder),
        *_environment(folder),
        *_data(folder),
        *settings(folder),
        *_reproduce(folder),
    ]


def _cells(folder: Folder) -> list[str]:
    rows = [
        [text(cell.id), cell.status, text(cell.reason), number(cell.wall_s)]
        for cell in folder.everything
        if cell.status != "ok"
    ]
    rows += [[text(entry.file), "set aside", text(entry.reason), "-"] for entry in folder.set_aside]
    rows += [
        [text(cell.id), "missing", text(folder.run.arms[cell.arm].hole or "planned, not measured"), "-"]
        for cell in folder.missing()
    ]
    if not rows:
        return []
    blocks = ["## Cells without figures", table(["cell", "status", "reason", "wall s"], rows, left=3)]
    for cell in folder.everything:
        if cell.status == "failed" and cell.output_tail.strip():
            blocks += [f"Last output of {text(cell.id)}:", fence(cell.output_tail, TAIL_LINES)]
    return blocks


def _environment(folder: Folder) -> list[str]:
    rows = [
        [short(key), text(("none" if key in ABSENT else "unknown") if value is None else value)]
        for key, value in _flat(folder.run.environment)
    ]
    return ["## Environment", table(["what", "value"], rows, left=2)] if rows else []


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    entries: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        entries = [(str(name), entry) for name, entry in value.items()]
    elif isinstance(value, list):
        entries = [(str(place), entry) for place, entry in enumerate(value)]
    else:
        yield key, value
    for name, entry in entries:
        yield from _flat(entry, f"{key} {name}".strip())


def _data(folder: Folder) -> list[str]:
    rows = []
    for name, workload in folder.run.workloads.items():
        first = [text(name), workload.data.identity, text(workload.data.description)]
        files = [[text(file.name), text(file.sha256), f"{file.size_bytes:,}"] for file in workload.data.files]
        rows += [first + file for file in files or [["-", "-", "-"]]]
    header = ["workload", "identity", "data", "file", "sha256", "bytes"]
    return ["## Data", table(header, rows, left=5)] if rows else []


def _reproduce(folder: Folder) -> list[str]:
    run = folder.run
    git = run.environment.get("git")
    commit = f"commit {text(git.get('commit'))}" if isinstance(git, dict) else "no git checkout, commit unknown"
    changed = ", with uncommitted changes" if isinstance(git, dict) and git.get("dirty") else ""
    return [
        "## Run it again",
        fence(shlex.join(run.command)),
        f"{code(f'bench reproduce {shlex.quote(run.id)}')} says what this was obtained with, image, versions and data "
        "included, and how to obtain it again; with `--yes` it does so and compares the two.",
        f"Measured at {commit}{changed}; {seeds(run)}; result schema {run.schema}. Every raw round is in "
        "`measurements.csv`, every epoch in `curves.csv`; `bench report` makes this page again from the records beside "
        "it.",
    ]


def seeds(run: record.Run) -> str:
    """The run's, or those of its whole trainings, in words."""
    found = sorted(
        {run.seed if cell.seed is None else cell.seed for cell in run.plan if derived.CONVERGE in cell.phases}
    )
    if len(found) < 2:
        return f"seed {found[0] if found else run.seed}"
    if len(found) > SEEDS:
        return f"{len(found)} seeds from {found[0]} to {found[-1]}"
    return f"seeds {', '.join(map(str, found))}"
