"""Builds simulated runs that follow each other, for tests and for looking at their index. Nothing in it was measured.

As a program: `python tests/make_history.py FOLDER` writes fourteen of them: a step, a bad night, a last run to confirm.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from make_run import edit, make_run

from bench import record

MACHINE = {
    "cpu": "Simulated CPU @ 2 GHz", "logical_cores": 8, "cpu_budget": 8, "memory_bytes": 16 * 2**30, "gpus": [],
    "git": {"commit": "0" * 40, "dirty": False},
}  # fmt: skip
FIRST = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def slowed(run: Path, factor: float, arm: str | None = None) -> None:
    """Makes every round of a run, or of one arm of it, take `factor` times as long."""
    for path in (run / "cells").glob("*.json"):
        cell = record.read(path, record.Cell)
        if arm in (None, cell.arm):
            measured = msgspec.json.decode(msgspec.json.encode(cell.pytest_benchmark))
            for entry in measured["benchmarks"]:
                entry["stats"]["data"] = [seconds * factor for seconds in entry["stats"]["data"]]
            edit(path, pytest_benchmark=measured)


def make_history(folder: Path, factors: Sequence[float | Mapping[str, float]], **other: Any) -> list[Path]:
    """One run a day under `folder`, equal but for its factor, that of an arm where it is a mapping."""
    runs = []
    for day, factor in enumerate(factors):
        plain: dict[str, Any] = {"workloads": ("conv_only",), "arms": ("torch-eager", "torch-compile"), "rounds": 9}
        run = make_run(folder / f"run-{day:02}", **(plain | other))
        started = f"{FIRST + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}"
        edit(run / "run.json", started=started, environment=MACHINE | {"git": {"commit": f"{day:040x}"[::-1]}})
        for arm, times in factor.items() if isinstance(factor, Mapping) else [(None, factor)]:
            if times != 1:
                slowed(run, times, arm)
        runs.append(run)
    return runs


if __name__ == "__main__":
    days: list[float | Mapping[str, float]] = [1.0, 1.004, 0.997, 1.15, 1.002, 0.995]
    days += [{"keras-jax": factor} for factor in (1.12, 1.13, 1.115, 1.12, 1.125, 1.118, 1.12)]
    days += [{"keras-jax": 1.12, "torch-compile": 1.2}]
    every = ("keras-tensorflow", "keras-jax", "keras-torch", "torch-eager", "torch-compile")
    make_history(Path(sys.argv[1]), days, workloads=("conv", "conv_only"), arms=every, control="torch-eager")
