"""One file in pytest-benchmark's own form, which `pytest-benchmark compare` and the services that take it can read.

An entry per cell with status ok and phase: the group says workload, device and phase, the name is the cell's id. As
there, `data` are seconds of an iteration, which is a step, and an entry's round has `iterations` of them. Only rounds
that count are in it; pytest-benchmark's own statistics are made of them anew.
"""

import json
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from pytest_benchmark.stats import Stats

from bench import derived, record
from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible


def export(folder: Folder, contests: Sequence[Contest]) -> bytes:
    """The whole run; of what pytest-benchmark says of a machine and a commit, as much as is recorded."""
    run = folder.run
    benchmarks = [entry for cell in folder.everything if cell.status == "ok" for entry in _entries(cell)]
    found = {
        "machine_info": _machine(folder),
        "commit_info": _commit(run.environment.get("git")),
        "benchmarks": benchmarks,
        "datetime": run.finished or run.started,
        "version": metadata.version("pytest-benchmark"),
    }
    return json.dumps(found, indent=1).encode() + b"\n"


def _entries(cell: record.Cell) -> Iterator[dict[str, Any]]:
    own: dict[str, dict[str, Any]] = {}
    for entry in cell.pytest_benchmark.get("benchmarks", ()):
        own.setdefault(entry["extra_info"]["phase"], entry)  # rounds measured again are a second one of the same
    for phase in derived.phases(cell).values():
        if not phase.counted_s:
            continue
        stats = Stats()  # type: ignore[no-untyped-call]
        stats.data = [seconds / phase.steps_per_round for seconds in phase.counted_s]
        about = {
            "workload": cell.workload,
            "arm": cell.arm,
            "label": cell.label,
            "device": cell.device,
            "block": cell.block,
            "rounds_measured": len(phase.rounds_s),
            "warmup_rounds": phase.warmup_rounds,
            "tainted_rounds": sum(phase.tainted),
        }
        # of the rounds that count, as the data are, but for those of an earlier process
        counted = phase.counted[phase.earlier_rounds :]
        starts_s = [start_s for start_s, counts in zip(phase.starts_s, counted, strict=False) if counts]
        name = visible(cell.id)  # printed to a terminal as it stands
        yield {
            "group": visible("/".join(dict.fromkeys((cell.workload, cell.device, phase.name)))),
            "name": name,
            "fullname": f"cells/{name}.json::{visible(phase.name)}",
            "params": None,
            "param": None,
            "extra_info": own[phase.name]["extra_info"] | {"starts_s": starts_s} | about,
            "options": own[phase.name].get("options", {}),
            "stats": {
                **stats.as_dict(),  # type: ignore[no-untyped-call]
                "data": stats.data,
                "iterations": phase.steps_per_round,
            },
        }


def _machine(folder: Folder) -> dict[str, Any]:
    """pytest-benchmark's keys first, then the run's whole description; of Python, what the cells ran on."""
    environment = folder.run.environment
    told = (cell.pytest_benchmark.get("machine_info", {}) for cell in folder.everything)
    cpu = environment.get("cpu")
    return {
        "node": None,  # the host's name is nobody's business
        "system": "Linux",
        **next(filter(None, told), {}),
        "cpu": cpu if isinstance(cpu, dict) else {"brand_raw": cpu},
        "bench": environment,
    }


def _commit(git: Any) -> dict[str, Any]:
    """None: not recorded."""
    known = git if isinstance(git, dict) else {}
    empty = dict.fromkeys(("time", "author_time", "branch"))
    return {"id": known.get("commit"), "dirty": known.get("dirty"), "project": "bench", **empty}
