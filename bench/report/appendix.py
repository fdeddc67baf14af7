"""The end of the report: the cells without figures, the arms' settings, the machine, the data, how to run it again."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bench.record import ABSENT
from bench.report.contamination import disturbances
from bench.report.folder import Folder
from bench.report.markdown import code, fence, number, short, table, text

TAIL_LINES = 15


def appendix(folder: Folder) -> list[str]:
    """Markdown blocks."""
    return [
        *_cells(folder),
        *disturbances(folder),
        *_arms(folder),
        *_environment(folder),
        *_data(folder),
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


def _arms(folder: Folder) -> list[str]:
    arms_with: dict[tuple[str, str], list[str]] = {}
    for name, arm in folder.run.arms.items():
        cells = [cell for cell in folder.cells if cell.arm == name and cell.status == "ok"]
        found: dict[str, list[str]] = {"framework": [arm.framework], "tier": [arm.tier]}
        stated: list[tuple[str, Mapping[str, object]]] = [("", arm.settings)]
        stated += [("ran with ", cell.versions) for cell in cells]
        stated += [("environment ", cell.environment) for cell in cells]
        stated += [("", {"threads": cell.threads}) for cell in cells]
        for prefix, settings in stated:
            for key, value in settings.items():
                values = found.setdefault(prefix + key, [])
                if str(value) not in values:
                    values.append(str(value))
        for key, values in found.items():
            arms_with.setdefault((key, "; in other cells: ".join(values)), []).append(name)
    keys = [key for key, _ in arms_with]
    rows = [
        [short(key), text(value), "all" if len(arms) == len(folder.run.arms) else ", ".join(map(short, arms))]
        for (key, value), arms in sorted(arms_with.items(), key=lambda entry: keys.index(entry[0][0]))
    ]
    return ["## Settings of each arm", table(["setting", "value", "arms"], rows, left=3)] if rows else []


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
        f"Seed {run.seed}; {commit}{changed}; result schema {run.schema}. Every raw round is in `measurements.csv`, "
        "every epoch in `curves.csv`; `bench report` makes this page again from the records beside it.",
    ]
