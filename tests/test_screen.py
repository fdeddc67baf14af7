"""`bench run` as a process on what it writes to: a terminal, a narrow one without colour, one of CI, a pipe cut off."""

import os
import re
import subprocess
import sys
from pathlib import Path

import harness
import pytest
from make_run import edit, make_run
from read_screen import Screen, Terminal

WIDTH = 80
NARROW = 40


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run to which nothing is missing: to take it up again shows its end and writes its report."""
    arms = ("torch-eager", "keras-jax", "keras-torch")
    folder = make_run(tmp_path / "results" / "run", workloads=("conv",), arms=arms, rounds=9, control="torch-eager")
    for block in range(1, 7):
        edit(folder / "cells" / f"conv.keras-torch.cpu.b{block}.json", status="failed", reason="it \x1b[31mbroke")
    edit(folder / "parity" / "conv.keras-torch.cpu.json", passed=False, reason="it is another")
    return folder


def the_end(shown: list[str]) -> list[list[str]]:
    """The words of the last lines, from the table's head on."""
    lines = [line.split() for line in shown]
    return lines[lines.index(["arm", "step", "ms", "ratio", "blocks", "verdict"]) :]


def check_end(shown: list[str], folder: Path) -> None:
    """Table, answer, what asks for caution, where to look: in this order, and nothing after it."""
    table = the_end(shown)
    arms = [line[0] for line in table if line and line[0].startswith(("torch-", "keras-"))]
    assert arms == ["keras-jax", "torch-eager", "keras-torch", "torch-eager"]
    assert ["keras-torch", "-", "failed", "0"] in table
    told = [line for line in shown if line][-4:]
    assert re.fullmatch(
        r"conv: keras-jax is fastest\. torch-eager takes \d\.\d+ times as long \[\d\.\d+, \d\.\d+\]\.", told[0]
    )
    caution = 'caution: synthetic data; 1 parity check failed; 6 cells failed: see "Read this first" in the report'
    pages = [f"report: results/run/{name}" for name in ("report.html", "report.md") if (folder / name).is_file()]
    assert told[1:] == [caution, *pages]


def test_a_terminal_ends_with_the_table_the_answer_and_the_report_and_keeps_no_live_line(tmp_path, finished):
    code, text = Terminal(tmp_path, ["run", "--resume", "run"], 110).ended
    screen = Screen(text, 110)
    assert code == 1, text  # cells of it failed
    check_end(screen.shown, finished)
    assert "\x1b[?25l" in text, "there was no live line"
    assert "writing the report" in text.split("writing the report", 1)[1]
    assert screen.cursor_visible
    assert screen.styled
    assert not [line for line in screen.shown if line.startswith("[")]
    assert screen.shown[-1] == ""


def test_in_ci_a_terminal_gets_plain_lines(tmp_path, finished):
    code, text = Terminal(tmp_path, ["run", "--resume", "run"], 110, CI="true", NO_COLOR="1").ended
    assert code == 1, text
    assert "\x1b" not in text
    check_end(text.splitlines(), finished)


@pytest.mark.parametrize("styled", [True, False])
def test_a_verb_that_prints_tables_styles_them_unless_no_color_is_set(tmp_path, styled):
    words = ["plan", *harness.grid("fake-1ms")]
    code, text = Terminal(tmp_path, words, 110, **({} if styled else {"NO_COLOR": "1"})).ended
    assert code == 0, text
    assert "fake-1ms" in text
    assert ("\x1b[" in text) is styled


def test_an_interrupted_narrow_terminal_without_colour_is_left_as_it_was(tmp_path):
    fifo = tmp_path / "fake-hangs.fifo"
    os.mkfifo(fifo)
    words = ["run", *harness.grid("fake-1ms", "fake-hangs"), "--control", "fake-hangs"]
    terminal = Terminal(tmp_path, words, NARROW, NO_COLOR="1")
    cell, stray = map(int, fifo.read_text().split())  # waits for the cell
    terminal.press(b"\x03")
    code, text = terminal.ended
    assert code == 130, text
    assert harness.has_ended(cell)
    assert harness.has_ended(stray)
    live = re.split(r"\x1b\[2K|\n", text)
    assert [line for line in live if re.fullmatch(r"\[1/4\] (about|up to) .+ left\r", line)], live
    assert "conv_only, fake-hangs\r" in live
    assert re.search(r"^conv_only: fake-1ms [\d.]+ ms\^C", text, re.MULTILINE)
    screen = Screen(text, NARROW)
    assert not screen.styled
    assert screen.cursor_visible
    assert screen.widest_redrawn < NARROW, "a line that fills the terminal begins another one, which stays"
    # All that was drawn again is gone, the echo of ^C with it; what stays are lines that were finished.
    kept = "".join(line.ljust(NARROW) for line in screen.lines)
    assert "^C" not in kept
    assert "left" not in kept
    assert re.search(r"\[1/4\] conv_only\.fake-1ms\.cpu\.b01  ok  [\d.]+ ms a step  in \d+\.\d s", kept)
    (run,) = (tmp_path / "results").iterdir()
    assert f"interrupted; everything measured is kept. Resume with: bench run --resume results/{run.name}" in kept
    assert (screen.column, screen.shown[-1]) == (0, "")


def test_where_nobody_reads_a_pipe_any_more_the_run_ends_resumable_and_says_so(tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(harness.FAKES / "drive.py"), "run", *harness.grid("fake-1ms")],
        cwd=tmp_path,
        env=harness.environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert "SYNTHETIC" in process.stdout.readline()
    assert "cells planned" in process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read().splitlines()
    assert process.wait(timeout=60) == 130
    process.stderr.close()
    run = harness.only_run(tmp_path)
    assert told == [
        "bench: the output cannot be written any more (Broken pipe); the run ends here",
        f"bench: interrupted; everything measured is kept. Resume with: bench run --resume results/{run.name}",
    ]
    assert harness.stored(run).ended_because == "interrupted"
