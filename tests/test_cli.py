"""The `bench` command: its verbs, its one-line errors and its exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import harness
import pytest
from make_run import edit, make_run

from bench import gpu, implementation, runfolder
from bench.cli import main
from bench.errors import UsageError


@pytest.fixture(autouse=True)
def fake_arms(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(harness.FAKES))
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(harness.FAKES))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    implementation.arms.cache_clear()
    yield
    implementation.arms.cache_clear()


ONE = ["--workload", "conv_only", "--arm", "fake-1ms", "--data", "synthetic"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "VERB"),
        (["frobnicate"], "frobnicate"),
        (["run", "--profile", "fast"], "--profile"),
        (["run", "--device", "tpu"], "--device"),
        (["run", "--budget", "10"], "--budget"),
        (["run", "--budget", "0s"], "--budget"),
        (["run", "--budget", "-5m"], "--budget"),
        (["run", "--seed", "-1"], "--seed"),
        (["run", "--seed", "1.5"], "--seed"),
        (["run", "--seed", str(2**32)], "--seed"),
        (["run", "--workload", "lenet"], "--workload lenet"),
        (["run", "--arm", "fake-2ms"], "--arm fake-2ms"),
        (["run", *ONE, "--arm", "fake-1ms"], "--arm fake-1ms"),
        (["run", *ONE, "--head", "logits"], "--head logits"),
        (["run", *ONE, "--gate", "sigmoid"], "--gate sigmoid"),
        (["run", "--data", "imaginary"], "--data"),
        (["run", "--frob"], "--frob"),
        (["run", "--resume", "nothing-there"], "nothing-there"),
        (["run", "--resume", "nothing-there", "--seed", "3"], "nothing-there"),  # of a part of it
        (["run", "--resume", "nothing-there", "--budget", "3m"], "--resume"),
        (["report", "nothing-there"], "nothing-there"),
        (["compare", "nothing-there", "nor-there"], "nothing-there"),
        (["compare", "one-alone"], "B"),
        (["plan", *ONE, "--out", "file/below"], None),
    ],
)
def test_what_is_wrong_is_named_in_one_line_and_the_exit_code_is_2(words, named, capsys, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    code = main(words)
    printed = capsys.readouterr()
    if named is None:  # a plan writes nothing
        assert code == 0
        return
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith("bench: ")
    assert printed.err.count("\n") == 1
    assert named in printed.err
    assert {entry.name for entry in tmp_path.iterdir()} <= {"file"}


def test_an_error_that_nobody_reads_any_more_ends_with_its_exit_code(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    environment = harness.environment(tmp_path) | {"PYTHONPATH": str(harness.ROOT)}
    command = [sys.executable, "-m", "bench", "run", "--profile", "fast"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=writer, stderr=writer)
    os.close(writer)
    assert done.returncode == 2


def test_a_run_in_a_folder_that_this_user_may_not_enter_is_named_in_one_line(monkeypatch, tmp_path):
    closed = tmp_path / "closed"
    (closed / "run").mkdir(parents=True)
    monkeypatch.chdir("/")
    for run, out in ((str(closed / "run"), Path("results")), ("run-of-nobody", closed)):
        with harness.kept_out_of(closed), pytest.raises(UsageError) as caught:
            runfolder.find(run, out)
        assert re.match(rf"{closed}/run\S*: cannot be entered \(Permission denied\); [^\n]+$", str(caught.value))


def test_an_out_that_cannot_be_written_is_an_error_before_anything_is_measured(capsys, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    assert main(["run", *ONE, "--out", "file/below"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "bench: --out file/below: cannot be written (Not a directory); name a folder that can\n"
    assert (tmp_path / "file").read_text() == "a file, not a folder"


def test_too_little_disk_space_is_an_error_before_anything_is_measured(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(runfolder, "RESULT_SPACE_BYTES", 10**18)
    assert main(["run", *ONE]) == 2
    assert re.match(r"bench: --out results: \d+ MB of disk are free, \d+ MB needed; free some", capsys.readouterr().err)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_an_interpreter_that_cannot_be_used_is_named_by_its_variable(python, capsys, monkeypatch):
    from bench import interpreters

    monkeypatch.setenv("BENCH_PYTHON_FAKE", python)
    interpreters.probe.cache_clear()
    assert main(["run", *ONE]) == 2
    interpreters.probe.cache_clear()
    error = capsys.readouterr().err
    assert error.startswith(f"bench: BENCH_PYTHON_FAKE={python}: ")
    assert error.count("\n") == 1


@pytest.mark.skipif(bool(gpu.devices()[0]), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_exit_code_3_and_nothing_is_measured(capsys, tmp_path):
    assert main(["run", *ONE, "--device", "gpu"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("bench: --device gpu: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(bool(gpu.devices()[0]), reason="this machine has a GPU")
def test_doctor_describes_the_machine_and_says_which_arms_cannot_run_and_why(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    assert "cpu_budget" in printed.out
    assert "fake-1ms" in printed.out
    assert "hole: no-such-distribution" in printed.out


def test_doctor_says_one_line_about_a_device_that_is_not_there_and_ends_with_3(capsys):
    assert main(["doctor", "--device", "gpu"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bench: --device gpu: ")
    assert len(printed.err.splitlines()) == 1


def test_plan_prints_the_grid_with_time_memory_and_assumptions(capsys):
    assert main(["plan", *ONE, "--arm", "fake-absent", "--profile", "quick"]) == 0
    printed = capsys.readouterr().out
    assert "fake-absent (hole)" in printed
    assert re.search(r"^14 cells, about .+ after parity$", printed, re.MULTILINE)
    assert "budget 10 min" in printed
    assert "GiB" in printed
    assert "assumed: " in printed
    assert "hole: fake-absent: no-such-distribution" in printed


def test_a_plan_of_whole_trainings_has_the_study_of_dead_starts_and_what_may_follow_it(capsys):
    words = ["--workload", "conv.head-as_published", "--arm", "fake-learns", "--seed", "1", "--seed", "2"]
    assert main(["plan", *words, "--profile", "book", "--data", "synthetic"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^3 cells, about .+ after parity$", printed, re.MULTILINE)
    assert re.search(r" 0 .+ starts ", printed)
    assert "conv.head-as_published: then up to 8 trainings more by fake-learns, of seeds that the study" in printed
    assert main(["plan", *words, "--head", "logits", "--profile", "book", "--data", "synthetic"]) == 0
    assert "trainings more" not in capsys.readouterr().out


def test_help_of_every_verb_is_exit_code_0(capsys):
    for verb in ("plan", "run", "report", "reproduce", "compare", "doctor", "data", "image"):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
        assert "usage: bench" in capsys.readouterr().out


def test_compare_prints_page_and_sentence_and_refuses_what_cannot_be_compared_unless_told(capsys, tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "results" / name, workloads=("conv_only",), arms=("torch-eager", "torch-compile"), rounds=9)
    sentence = "All intervals overlap: of 1 pair of arms"
    assert main(["compare", "a", str(tmp_path / "results" / "b")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Run b (B) against run a (A)\n")
    assert printed.splitlines()[-1] == f"{sentence}."
    edit(tmp_path / "results" / "a" / "run.json", environment={"cpu": "one\nand :x:", "logical_cores": 8})
    edit(tmp_path / "results" / "b" / "run.json", environment={"cpu": "other", "logical_cores": 4, "kernel": "6.1"})
    assert main(["compare", "a", "b"]) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert refused.err == (
        "bench: compare: not comparable: processor: one ⏎ and :x: in A, other in B; cores: 8 in A, 4 in B; "
        "--anyway compares them all the same\n"
    )
    assert main(["compare", "a", "b", "--anyway"]) == 0
    printed = capsys.readouterr().out
    assert "- processor: one ⏎ and :x: in A, other in B" in printed
    assert printed.splitlines()[-1].startswith(f"{sentence}. Not comparable: processor")
