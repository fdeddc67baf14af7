"""Cells' processes that train, one thread each, killed inside an epoch where a test wants it."""

import os
import subprocess
import sys
from pathlib import Path

import harness

from bench import cell, implementation

FAULTS = Path(__file__).parent / "faults"
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def train(
    out: Path, prepared: Path, arm: str, *, phase: str = "converge", dies_in: int | None = None, **fields: object
) -> int:
    """Exit code of a cell's process that trains, or does another phase, with what it handed back in `out`."""
    out.mkdir()
    named = {"workload": "conv_gru", "threads": 1, "prepared": str(prepared), "out": str(out), **fields}
    request = cell.Request(arm=arm, **named)
    command = cell.command(sys.executable, (phase,), request)
    declared = implementation.arms().get(arm)  # the fake arms are known to the process only
    own = {name: value.format(cache=out, threads=1) for name, value in declared.environment.items()} if declared else {}
    environment = harness.environment(out, **THREADS, **own, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    if dies_in is not None:
        command.append("-pdying")
        environment |= {"DYING_EPOCH": str(dies_in)}
        environment["PYTHONPATH"] = os.pathsep.join((str(FAULTS), environment["PYTHONPATH"]))
    ended = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    (out / "output").write_text(ended.stdout + ended.stderr)
    return ended.returncode


def learned(out: Path) -> list[tuple]:
    """The curve without its times."""
    return [(point.epoch, point.train, point.validation) for point in cell.curve(out)]


def seen(out: Path) -> cell.Observed:
    found = cell.observed(out)
    assert found is not None, (out / "output").read_text()
    return found
