"""Runs `bench` over framework-free arms, as real processes in a folder of the test's own."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import derived, record

FAKES = Path(__file__).resolve().parent / "fakes"
ROOT = FAKES.parent.parent
GONE_S = 20.0  # a kill needs milliseconds; this long only where the machine is choked


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a driven `bench` sees: temporary files in `folder`, a cache all tests share, the fake arms to import."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # most have it not
    return inherited | {
        "PYTHONPATH": os.pathsep.join((str(FAKES), str(ROOT))),
        "BENCH_CACHE_DIR": str(folder.parent / "bench-cache"),
        "TMPDIR": str(folder),
        "COLUMNS": "200",
        **more,
    }


def start(folder: Path, *words: str, **more: str) -> "subprocess.Popen[str]":
    """Starts the driven `bench` in `folder`; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, str(FAKES / "drive.py"), *words],
        cwd=folder,
        env=environment(folder, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_real(folder: Path, *words: str, **more: str) -> "subprocess.Popen[str]":
    """Starts the real `bench` in `folder`: its own profiles, gate and limits."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=folder,
        env=environment(folder, **more) | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def bench(folder: Path, *words: str, **more: str) -> tuple[int, str]:
    """Exit code and output of the driven `bench`."""
    process = start(folder, *words, **more)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def grid(*arms: str, profile: str = "smoke", workloads: Sequence[str] = ("conv_only",)) -> list[str]:
    """The options of a small run on synthetic data."""
    named = [word for name in workloads for word in ("--workload", name)]
    named += [word for name in arms for word in ("--arm", name)]
    return [*named, "--profile", profile, "--data", "synthetic"]


@contextmanager
def kept_out_of(folder: Path) -> Iterator[None]:
    """Goes on as a user who may not enter the folder."""
    before = os.getresuid()
    folder.chmod(0)
    if os.geteuid() == 0:  # whom no mode keeps out
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(*before)
        folder.chmod(0o700)


@contextmanager
def every_core_busy() -> Iterator[None]:
    """Other processes that want every core, for as long as the context lasts."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def only_run(folder: Path) -> Path:
    """The one run folder under `folder/results`; a container's cache lies beside it."""
    (run,) = (path for path in (folder / "results").iterdir() if not path.name.startswith("."))
    return run


def cells(run: Path) -> dict[str, record.Cell]:
    """Every cell of a run, by id."""
    found = [record.read(path, record.Cell) for path in sorted((run / "cells").glob("*.json"))]
    return {cell.id: cell for cell in found}


def by_arm(run: Path) -> dict[str, record.Cell]:
    """The cells of a run with one block, by arm; without ceilings and the control's second entry."""
    return {cell.arm: cell for cell in cells(run).values() if cell.block and not cell.label}


def control_steps(run: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Median step time by block of the A/A control's second entry, and of its first."""
    steps: dict[str, dict[int, float]] = {record.CONTROL: {}, "": {}}
    control = stored(run).control
    for cell in cells(run).values():
        if cell.arm == control and cell.block and (step_s := derived.step_s(cell)) is not None:
            steps[cell.label][cell.block] = step_s
    return steps[record.CONTROL], steps[""]


def stored(run: Path) -> record.Run:
    """The run's own record."""
    return record.read(run / "run.json", record.Run)


def hanging(folder: Path, *words: str) -> tuple["subprocess.Popen[str]", int, int]:
    """A driven run whose `fake-hangs` cell is hanging now; the numbers of the cell's process and of its child."""
    fifo = folder / "fake-hangs.fifo"
    os.mkfifo(fifo)
    process = start(folder, "run", *words)
    cell, stray = map(int, fifo.read_text().split())  # waits for the cell
    fifo.unlink()
    return process, cell, stray


def ended_within(pid: int, seconds: float) -> bool:
    """Waits for the end of a process, its own child or not, no longer than that."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def has_ended(pid: int) -> bool:
    """Waits for an end that must come."""
    return ended_within(pid, GONE_S)
