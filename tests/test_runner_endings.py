"""However a run ends (budget, interrupt, kill), what was measured stays and `--resume` adds what is missing."""

import os
import select
import signal
import subprocess
from pathlib import Path

import harness
import msgspec

from bench import record

GONE_S = 20.0  # a kill needs milliseconds; this long only where the machine is choked


def hanging(folder: Path, *words: str) -> tuple["subprocess.Popen[str]", int, int]:
    """A driven run whose `fake-hangs` cell is hanging now; the numbers of the cell's process and of its child."""
    fifo = folder / "fake-hangs.fifo"
    os.mkfifo(fifo)
    process = harness.start(folder, "run", *words)
    cell, stray = map(int, fifo.read_text().split())  # waits for the cell
    fifo.unlink()
    return process, cell, stray


def has_ended(pid: int) -> bool:
    """Waits for the end of a process that is no child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(GONE_S * 1000))
    finally:
        os.close(descriptor)


def test_an_interrupted_run_keeps_what_it_has_and_resume_measures_exactly_the_rest(tmp_path):
    words = harness.grid("fake-1ms", "fake-hangs", "fake-10ms")
    process, cell, stray = hanging(tmp_path, *words)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    run = harness.only_run(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (run / "cells").glob("*.json")}
    assert process.returncode == 130, output
    assert f"bench run --resume {Path('results') / run.name}" in output
    assert has_ended(cell)
    assert has_ended(stray)
    stored = harness.stored(run)
    assert (stored.finished, stored.ended_because) == (None, "interrupted")
    assert {entry.name for entry in run.iterdir()} == {"run.json", "cells", "parity"}

    code, output = harness.bench(tmp_path, "run", "--resume", run.name)
    assert code == 1, output  # fake-hangs was timed out this time
    assert {name: cell.status for name, cell in harness.by_arm(run).items()} == {
        "fake-1ms": "ok",
        "fake-10ms": "ok",
        "fake-hangs": "failed",
    }
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    assert harness.stored(run).ended_because == "all planned cells measured"
    assert (run / "report.md").is_file()


def test_a_killed_runner_takes_its_cell_with_it_and_the_run_can_be_resumed(tmp_path):
    process, cell, stray = hanging(tmp_path, *harness.grid("fake-1ms", "fake-hangs"))
    process.kill()
    process.communicate(timeout=60)
    assert has_ended(cell)
    os.kill(stray, signal.SIGKILL)  # the kernel takes the cell along, not what the cell put into a session of its own
    run = harness.only_run(tmp_path)
    (run / "cells" / ".half.json.x1").write_text("what a killed runner may leave")
    code, output = harness.bench(tmp_path, "run", "--resume", str(run))
    assert code == 1, output
    assert set(harness.by_arm(run)) == {"fake-1ms", "fake-hangs"}
    assert not list((run / "cells").glob(".*"))


def test_the_budget_is_kept_and_what_it_left_out_is_said(tmp_path):
    words = harness.grid("fake-1ms", "fake-10ms", profile="quick")
    code, output = harness.bench(tmp_path, "run", *words, "--budget", "2.5s")
    assert code == 0, output
    run = harness.only_run(tmp_path)
    stored, cells = harness.stored(run), harness.cells(run)
    measured = [cell for cell in cells.values() if cell.status == "ok"]
    assert len(measured) < 6
    assert sum(cell.wall_s for cell in measured) <= 2.5 * 1.05  # and no cell overran it by more than its margin
    assert stored.ended_because == f"budget spent: {len(measured)} of 6 planned cells measured"
    assert {cell.id for cell in stored.plan} == set(cells)  # blocks never reached are not in the plan
    for cell in cells.values():
        assert cell.status == "ok" or "budget spent" in (cell.reason or "")


def test_a_budget_too_small_for_epochs_leaves_them_out_and_says_so(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-1ms", profile="quick"), "--budget", "0.6s")
    assert code == 0, output
    stored = harness.stored(harness.only_run(tmp_path))
    assert {cell.phases for cell in stored.plan} == {("first_step", "train_step")}
    assert any(note.startswith("epoch and validate are left out") for note in stored.notes)
    assert stored.notes[0] in output


def test_compile_caches_are_cold_in_block_1_and_warm_after_it(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-1ms", profile="quick"))
    assert code == 0, output
    cells = harness.cells(harness.only_run(tmp_path)).values()
    assert {cell.block: cell.versions["cold"] for cell in cells} == {1: "True"} | dict.fromkeys(range(2, 4), "False")
    assert [cell.block for cell in cells if cell.curve] == [1, 2]


def test_resume_refuses_another_code_and_names_it(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-absent"))
    assert code == 0, output  # a hole does not change the exit code
    run = harness.only_run(tmp_path)
    stored = harness.stored(run)
    changed = msgspec.structs.replace(stored, environment=stored.environment | {"code_digest": "0" * 16})
    record.write(run / "run.json", changed)
    code, output = harness.bench(tmp_path, "run", "--resume", run.name)
    assert code == 2
    assert f"--resume {run.name}: cannot be completed, code_digest is" in output
    assert "Traceback" not in output


def test_two_runners_cannot_measure_into_one_folder(tmp_path):
    process, _, _ = hanging(tmp_path, *harness.grid("fake-hangs"))
    code, output = harness.bench(tmp_path, "run", "--resume", harness.only_run(tmp_path).name)
    process.terminate()  # ends as Ctrl-C does
    ended, _ = process.communicate(timeout=60)
    assert process.returncode == 130, ended
    assert code == 2
    assert "another bench is measuring into it" in output
