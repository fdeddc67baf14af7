"""`kill -9` at random instants, of the runner and of what it measures: `--resume` ends as if nothing had happened."""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
import psutil
import pytest
from report_shape import shape_of

from bench import record

KILLS = int(os.environ.get("BENCH_TEST_KILLS", "8"))
"""`tox -e proofs` asks for fifty."""
REAL_KILLS = max(1, KILLS // 15)
TRIES = 5
"""For an instant inside a run."""
PATIENT = {"FAKE_LIMIT_S": "60"}
"""Several runs share the cores: none of their cells is to be taken for one that hangs."""
MEASURING = ("pytest", "parity")
"""What the command lines of the runner's own measuring processes hold."""
Start = Callable[..., "subprocess.Popen[str]"]


def measuring(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The cells and parity processes that run now."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if any(word in " ".join(child.cmdline()) for word in MEASURING)]
    except psutil.NoSuchProcess:
        return []


def disturb(folder: Path, start: Start, words: list[str], after_s: float, draw: random.Random, cell: bool) -> bool:
    """Starts a run and kills it, or one of its cells, after some seconds; whether it was still going on."""
    process = start(folder, "run", *words, **PATIENT)
    ended = harness.ended_within(process.pid, after_s)
    children = measuring(process)
    if cell and children:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
            draw.choice(children).kill()
    elif not ended:
        process.kill()
    process.communicate(timeout=300)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, "an orphan would disturb the resumed run"
    return not ended


def finish(folder: Path, start: Start, words: list[str]) -> Path:
    """Resumes the one run, or begins it where it was killed before there was one."""
    runs = [path.parent for path in folder.glob("results/*/run.json")]
    process = start(folder, "run", *(["--resume", runs[0].name] if runs else words), **PATIENT)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    (run,) = [path.parent for path in folder.glob("results/*/run.json")]
    return run


def check(run: Path, undisturbed: Path) -> None:
    """The same cells, every file whole, and the same report apart from what was measured."""
    for path in run.rglob("*"):
        assert not path.name.startswith("."), f"{path} was left behind"
    found, wanted = harness.cells(run), harness.cells(undisturbed)  # reads every file, checksum included
    assert {name: cell.status for name, cell in found.items()} == {name: cell.status for name, cell in wanted.items()}
    for path in run.glob("parity/*.json"):
        assert record.read(path, record.Parity).passed
    assert shape_of((run / "report.md").read_text()) == shape_of((undisturbed / "report.md").read_text())


def undisturbed(folder: Path, start: Start, words: list[str]) -> tuple[Path, float]:
    """A run that nobody disturbs, and the seconds it takes."""
    start_s = time.monotonic()
    output, _ = (process := start(folder, "run", *words, **PATIENT)).communicate(timeout=600)
    assert process.returncode == 0, output
    return harness.only_run(folder), time.monotonic() - start_s


def kill_and_resume(
    folder: Path, start: Start, words: list[str], reference: tuple[Path, float], numbers: range, side_by_side: int
) -> None:
    """Once for each number, which is the seed of the instant.

    Runs of one machine differ in length: an instant that finds its run ended is drawn again, earlier, for a fresh one.
    """
    whole, took_s = reference

    def once(number: int) -> None:
        draw = random.Random(number)
        after_s = draw.uniform(0.0, took_s)
        for attempt in range(TRIES):
            mine = folder / f"{number}.{attempt}"
            mine.mkdir()
            if disturb(mine, start, words, after_s, draw, cell=number % 2 == 1):
                check(finish(mine, start, words), whole)
                return
            after_s = draw.uniform(0.0, after_s)
        raise AssertionError(f"no run of {TRIES} was still going on at its instant, the last after {after_s:.1f} s")

    with ThreadPoolExecutor(side_by_side) as pool:
        list(pool.map(once, numbers))  # raises what one of them raised


def test_after_many_kills_resume_ends_with_the_same_cells_and_the_same_report(tmp_path, tmp_path_factory):
    words = harness.grid("fake-1ms")
    reference = undisturbed(tmp_path_factory.mktemp("whole"), harness.start, words)
    side_by_side = 1 + len(os.sched_getaffinity(0))  # a run spends a third of its time looking at an idle machine
    kill_and_resume(tmp_path, harness.start, words, reference, range(KILLS), side_by_side)


@pytest.mark.proof  # 54 s with a single kill, on two cores
def test_after_a_kill_of_a_real_arm_resume_ends_with_the_same_cells_and_the_same_report(tmp_path, tmp_path_factory):
    words = harness.grid("torch-eager")
    reference = undisturbed(tmp_path_factory.mktemp("whole"), harness.start_real, words)
    kill_and_resume(tmp_path, harness.start_real, words, reference, range(REAL_KILLS), side_by_side=1)
