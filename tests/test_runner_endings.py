"""However a run ends (budget, interrupt, kill), what was measured stays and `--resume` adds what is missing."""

import os
import re
import signal
from pathlib import Path

import harness
import msgspec
import psutil
import pytest
from make_run import make_run

from bench import derived, record, runfolder

IDLE_S = 3.0  # 1 % of it is three ticks of the clock the kernel counts in
PLANTED_NS = {"import": 3e8, "build": 4e8, "stage": 2.5e8, "first_step": 5e8, "teardown": 3.5e8}
"""What `fake-slow-start` spends where; tests/fakes/impl_fake/session.py."""


def test_an_interrupted_run_keeps_what_it_has_and_resume_measures_exactly_the_rest(tmp_path):
    words = harness.grid("fake-1ms", "fake-hangs", "fake-10ms")
    process, cell, stray = harness.hanging(tmp_path, *words)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    run = harness.only_run(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (run / "cells").glob("*.json")}
    assert process.returncode == 130, output
    assert f"bench run --resume {Path('results') / run.name}" in output
    assert harness.has_ended(cell)
    assert harness.has_ended(stray)
    stored = harness.stored(run)
    assert (stored.finished, stored.ended_because) == (None, "interrupted")
    assert {entry.name for entry in run.iterdir()} == {"run.json", "cells", "parity"}

    code, output = harness.bench(tmp_path, "run", "--resume", run.name)
    assert code == 1, output  # fake-hangs was timed out this time
    cells = harness.by_arm(run)
    reasons = {name: cell.reason for name, cell in cells.items()}
    assert {name: cell.status for name, cell in cells.items()} == {
        "fake-1ms": "ok",
        "fake-10ms": "ok",
        "fake-hangs": "failed",
    }, reasons
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    assert harness.stored(run).ended_because == "all planned cells measured"
    assert (run / "report.md").is_file()


def test_a_killed_runner_takes_its_cell_with_it_and_the_run_can_be_resumed(tmp_path):
    process, cell, stray = harness.hanging(tmp_path, *harness.grid("fake-1ms", "fake-hangs"))
    process.kill()
    process.communicate(timeout=60)
    assert harness.has_ended(cell)
    os.kill(stray, signal.SIGKILL)  # the kernel takes the cell along, not what the cell put into a session of its own
    run = harness.only_run(tmp_path)
    (run / "cells" / ".half.json.x1").write_text("what a killed runner may leave")
    code, output = harness.bench(tmp_path, "run", "--resume", str(run))
    assert code == 1, output
    assert set(harness.by_arm(run)) == {"fake-1ms", "fake-hangs"}
    assert not list((run / "cells").glob(".*"))


def test_asking_what_is_missing_leaves_alone_what_another_process_is_writing(tmp_path):
    run = make_run(tmp_path / "run", workloads=["conv_only"], blocks=1)
    (run / "parity").mkdir(exist_ok=True)
    (writing := run / "parity" / ".conv_only.fake-1ms.cpu.json.x1").write_text("{")  # a parity process beside another
    assert runfolder.missing(run, harness.stored(run)) == ()
    assert writing.exists()


def test_the_budget_is_kept_and_what_it_left_out_is_said(tmp_path):
    words = harness.grid("fake-1ms", "fake-10ms", profile="quick")
    code, output = harness.bench(tmp_path, "run", *words, "--budget", "4s")
    assert code == 0, output
    run = harness.only_run(tmp_path)
    stored, cells = harness.stored(run), harness.cells(run)
    measured = [cell for cell in cells.values() if cell.status == "ok"]
    assert len(measured) < 10
    assert sum(cell.wall_s for cell in measured) <= 4 * 1.05  # and no cell overran it by more than its margin
    # Three blocks of two arms and the control, and the ceiling.
    assert stored.ended_because == f"budget spent: {len(measured)} of 10 planned cells measured"
    assert {cell.id for cell in stored.plan} == set(cells)  # blocks never reached are not in the plan
    for cell in cells.values():
        assert cell.status == "ok" or "budget spent" in (cell.reason or "")


def test_a_budget_too_small_for_epochs_leaves_them_out_and_says_so(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-1ms", profile="quick"), "--budget", "0.6s")
    assert code == 0, output
    stored = harness.stored(harness.only_run(tmp_path))
    assert {cell.phases for cell in stored.plan} == {("first_step", "train_step"), ("ceiling",)}
    assert any(note.startswith("epoch and validate are left out") for note in stored.notes)
    assert stored.notes[0] in output


def test_compile_caches_are_cold_in_block_1_and_warm_after_it(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-1ms", profile="quick"))
    assert code == 0, output
    cells = [cell for cell in harness.cells(harness.only_run(tmp_path)).values() if cell.block]
    assert {"", "a2"} == {cell.label for cell in cells}
    # Both entries of the control start alike, whichever of them is measured first.
    assert all(cell.versions["cold"] == str(cell.block == 1) for cell in cells)
    assert max(cell.block for cell in cells) >= 3
    assert [cell.block for cell in cells if cell.curve] == [1, 2]


def block_count(run: Path) -> int:
    return max(cell.block for cell in harness.stored(run).plan)


def test_blocks_stop_at_the_first_look_when_every_interval_is_narrow_enough(tmp_path):
    words = [*harness.grid("fake-10ms", profile="quick"), "--margin", "90%"]  # no machine is that noisy
    code, output = harness.bench(tmp_path, "run", *words, FAKE_BLOCKS="6-9")
    assert code == 0, output
    run = harness.only_run(tmp_path)
    assert harness.stored(run).ended_because == "every interval is narrow enough"
    assert block_count(run) == 6
    code, output = harness.bench(tmp_path, "run", "--resume", run.name, FAKE_BLOCKS="6-9")
    assert code == 0, output  # and there is nothing to add
    assert "is finished, nothing of it is missing" in output
    assert block_count(run) == 6

    # The same run, killed after its last planned cell, when its intervals were not narrow enough for its margin.
    unfinished = msgspec.structs.replace(harness.stored(run), margin=1e-7, finished=None, ended_because=None)
    record.write(run / "run.json", unfinished)
    code, output = harness.bench(tmp_path, "run", "--resume", run.name, FAKE_BLOCKS="6-9")
    assert code == 0, output
    assert block_count(run) == 9
    found = harness.cells(run)
    assert {cell.id for cell in harness.stored(run).plan} == set(found)
    assert {cell.status for cell in found.values()} == {"ok"}
    assert harness.stored(run).ended_because == (
        "most blocks measured (9): all planned cells measured, intervals still wide in conv_only"
    )


def test_a_run_whose_only_arm_is_given_up_claims_no_interval(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-raises", profile="quick"))
    assert code == 1, output
    assert harness.stored(harness.only_run(tmp_path)).ended_because == "no arm could be measured"


def test_a_resumed_run_remembers_how_much_of_its_budget_it_has_used(tmp_path):
    words = harness.grid("fake-1ms", "fake-hangs", profile="quick")
    process, _, _ = harness.hanging(tmp_path, *words, "--budget", "300s")
    process.kill()
    process.communicate(timeout=60)
    before = harness.stored(harness.only_run(tmp_path))
    assert before.used_s > 0
    assert before.used_s >= sum(cell.wall_s for cell in harness.cells(harness.only_run(tmp_path)).values())


def test_resume_refuses_another_code_and_names_it(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-absent"))
    assert code == 0, output  # a hole does not change the exit code
    run = harness.only_run(tmp_path)
    stored = harness.stored(run)
    environment = stored.environment | {"code_digest": "0" * 16}
    changed = msgspec.structs.replace(stored, environment=environment, finished=None)
    record.write(run / "run.json", changed)
    code, output = harness.bench(tmp_path, "run", "--resume", run.name)
    assert code == 2
    assert f"--resume {run.name}: cannot be completed, code_digest is" in output
    assert "Traceback" not in output


def test_two_runners_cannot_measure_into_one_folder(tmp_path):
    process, _, _ = harness.hanging(tmp_path, *harness.grid("fake-hangs"))
    code, output = harness.bench(tmp_path, "run", "--resume", harness.only_run(tmp_path).name)
    process.terminate()  # ends as Ctrl-C does
    ended, _ = process.communicate(timeout=60)
    assert process.returncode == 130, ended
    assert code == 2
    assert "another bench is measuring into it" in output


def test_the_runner_idles_while_a_cell_runs(tmp_path):
    process, _, _ = harness.hanging(tmp_path, *harness.grid("fake-hangs"))
    runner = psutil.Process(process.pid)
    begin = runner.cpu_times()
    assert not harness.ended_within(process.pid, IDLE_S)  # the cell runs on
    end = runner.cpu_times()
    process.terminate()
    process.communicate(timeout=60)
    used_s = end.user + end.system - begin.user - begin.system
    assert used_s < 0.01 * IDLE_S  # the promise of the issue; counted in ticks of 10 ms


def test_where_a_cell_spends_its_time_is_told_part_by_part(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-slow-start"))
    assert code == 0, output
    cell = harness.by_arm(harness.only_run(tmp_path))["fake-slow-start"]
    parts = derived.ledger(cell)
    assert sum(parts.values()) == pytest.approx(cell.wall_s, rel=0.02)  # the promise of the issue
    for name, planted_ns in PLANTED_NS.items():
        # Beside what was planted each part holds work of its own, a few tens of milliseconds of it; twice as much, and
        # some for a machine that is busy, still tells every part from its neighbours.
        assert planted_ns * 1e-9 <= parts[name] <= 2 * planted_ns * 1e-9 + 0.2, name


def test_a_cell_that_was_disturbed_in_most_of_its_rounds_is_measured_again_and_nothing_is_dropped(tmp_path):
    with harness.every_core_busy():
        code, output = harness.bench(tmp_path, "run", *harness.grid("fake-10ms"))
    assert code == 0, output
    run = harness.only_run(tmp_path)
    disturbed = harness.by_arm(run)["fake-10ms"]
    (earlier,) = disturbed.tries
    assert re.match(r"disturbed in \d+ of \d+ rounds: ", earlier.reason)
    assert len(earlier.rounds_s) >= 17  # kept, though they do not count
    step = derived.phases(disturbed)["train_step"]
    assert step.mostly_tainted  # the second time too
    assert len(step.counted_s) == len(step.rounds_s) - step.warmup_rounds
    report = (run / "report.md").read_text()
    assert "**Tried again**" in report
    assert "**Disturbed and counted**" in report


def test_what_fails_beside_the_planned_phases_is_told_and_costs_none_of_them(tmp_path):
    code, output = harness.bench(tmp_path, "run", *harness.grid("fake-one-shape"))
    assert code == 0, output
    run = harness.only_run(tmp_path)
    cell = harness.by_arm(run)["fake-one-shape"]
    assert (cell.status, cell.reason) == ("ok", None)
    assert {"first_step", "train_step", "epoch", "validate"} == set(derived.phases(cell))
    assert cell.beside == "small_step: ValueError: no other batch size, please"
    assert "no other batch size, please" in (run / "report.md").read_text()
