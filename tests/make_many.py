"""Builds a run of very many cells, for tests of how long a report takes. Nothing in it was measured.

As a program: `python tests/make_many.py FOLDER [BLOCKS]`, 15 cells a block.

A cell is as large as those that `bench run --profile quick` writes on a CPU: 10 kB with one first step, 35 rounds of
train_step, the sentinel's windows with eight readings, pytest-benchmark's statistics and options. `DISTINCT` blocks are
drawn; later ones repeat their numbers under their own ids, which costs a reader the same and is written in seconds.
"""

import hashlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from make_cell import ARMS
from make_run import edit, make_run

from bench import record

BLOCKS = 667
"""With 15 cells each, 10,005 cells."""
DISTINCT = 20
WORKLOADS = ("conv", "conv_gru", "conv_only")
OPTIONS = {
    "disable_gc": False, "timer": "perf_counter", "min_rounds": 5, "max_time": 1.0, "min_time": 5e-06,
    "precision": None, "confidence": None, "warmup": False,
}  # fmt: skip
ENVIRONMENT = {
    **{f"{name}_NUM_THREADS": "2" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    "VECLIB_MAXIMUM_THREADS": "2",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTHONHASHSEED": "0",
}
VERSIONS = {"keras": "3.15.0", "numpy": "2.4.6", "simulated": "1.2.3", "python": "3.11.7", "compiler": "GCC 12.2.0"}
READINGS = {
    "own_cores": 1.7608197597806486, "steal_cores": 0.03678108060051377, "throttled_share": 0.0,
    "memory_stall_share": 0.0, "swapped_pages": 0.0, "memory_available_bytes": 23959146496.0,
}  # fmt: skip


def make_many(folder: Path, blocks: int = BLOCKS, workloads: Sequence[str] = WORKLOADS) -> Path:
    """A run of five arms under `folder`, with disturbed rounds and, in the first two blocks, curves of 3 epochs."""
    distinct = min(blocks, DISTINCT)
    make_run(folder, workloads=workloads, blocks=distinct, rounds=32, epochs=3, busy=0.03)
    plan = list(record.read(folder / "run.json", record.Run).plan)
    bodies: dict[tuple[int, str, str], bytes] = {}
    for planned in plan:
        path = folder / "cells" / f"{planned.id}.json"
        bodies[planned.block, planned.workload, planned.arm] = _body(record.read(path, record.Cell))
        path.unlink()
    width = len(workloads) * len(ARMS)
    for block in range(distinct + 1, blocks + 1):
        like = 3 + (block - 3) % (distinct - 2)  # epochs are of the first two blocks
        plan += [
            msgspec.structs.replace(planned, block=block, id=_id(planned, block))
            for planned in plan[(like - 1) * width : like * width]
        ]
        bodies |= {(block, workload, arm): bodies[like, workload, arm] for workload in workloads for arm in ARMS}
    for planned in plan:
        body = bodies[planned.block, planned.workload, planned.arm]
        of = int(body.partition(b'\n "block": ')[2].partition(b",")[0])
        body = body.replace(f'"id": "{_id(planned, of)}"'.encode(), f'"id": "{planned.id}"'.encode(), 1)
        body = body.replace(f'\n "block": {of},'.encode(), f'\n "block": {planned.block},'.encode(), 1)
        checksum = f' "checksum": "sha256:{hashlib.sha256(body).hexdigest()}",\n'.encode()
        # not by record.write, which waits for the disk after each of ten thousand files
        (folder / "cells" / f"{planned.id}.json").write_bytes(body[:2] + checksum + body[2:])
    edit(folder / "run.json", plan=tuple(plan))
    return folder


def _id(planned: record.PlannedCell, block: int) -> str:
    return f"{planned.workload}.{planned.arm}.cpu.b{block}"


def _body(cell: record.Cell) -> bytes:
    """The record as written, without its checksum, with what pytest-benchmark and the runner add in a real one."""
    measured: dict[str, Any] = {
        "machine_info": {"python_implementation": "CPython", "python_version": "3.11.7"},
        "commit_info": {},
        "benchmarks": [_entry(entry) for entry in cell.pytest_benchmark["benchmarks"]],
        "datetime": "2026-01-05T09:31:09.573536+00:00",
        "version": "5.3.1",
    }
    before, *later = (msgspec.structs.replace(window, readings=window.readings | READINGS) for window in cell.watch)
    begun_s = later[0].start_s
    while_starting = [
        record.Window(start_s, end_s, before.readings)
        for start_s, end_s in ((0.3, begun_s - 0.3), (begun_s - 0.3, begun_s))
    ]
    whole = msgspec.structs.replace(
        cell,
        pytest_benchmark=measured,
        watch=(before, *while_starting, *later),
        environment=ENVIRONMENT,
        versions=VERSIONS,
    )
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    data, phase = entry["stats"]["data"], entry["extra_info"]["phase"]
    least, most, middle = min(data), max(data), statistics.median(data)
    stats = {
        "min": least, "max": most, "mean": statistics.fmean(data), "stddev": statistics.pstdev(data),
        "rounds": len(data), "median": middle, "iqr": (most - least) / 4, "q1": middle * 0.98, "q3": middle * 1.03,
        "iqr_outliers": 2, "stddev_outliers": 3, "outliers": "3;2", "ld15iqr": least, "hd15iqr": most,
        "ops": 1 / middle, "total": sum(data), "data": data, "iterations": 1,
    }  # fmt: skip
    name = f"test_{phase}"
    return {
        "group": None,
        "name": name,
        "fullname": f"measure_{phase}.py::{name}",
        "params": None,
        "param": None,
        "extra_info": entry["extra_info"],
        "options": OPTIONS,
        "stats": stats,
    }


if __name__ == "__main__":
    make_many(Path(sys.argv[1]), *map(int, sys.argv[2:]))
