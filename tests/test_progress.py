"""What is shown of a run while it goes on: plain lines, live ones, the time left, on whatever there is to show it."""

import io
import os
import re
import threading
import time
from collections.abc import Callable

import pytest
from even_cells import a_cell
from read_screen import SETTINGS, Screen
from rich.cells import cell_len
from rich.console import Console

from bench.display import live
from bench.display.live import Left, Now
from bench.display.progress import Display
from bench.interrupt import interruptible
from bench.record import Cell, PlannedCell

HOSTILE = "it broke\x1b[31m\x1b[2J\r\n[bold]:boom: caf\udce9 \u202eltr \x9b1A"
"""What an exception's text may hold: colours, line breaks, markup, half a character."""
AHEAD = ("conv_only: torch-eager 41.2 ms", "keras-jax x1.31 [1.27, 1.36]", "keras-torch x1.52 [1.4, 1.6]")


def planned(cell: Cell) -> PlannedCell:
    return PlannedCell(cell.id, cell.workload, cell.arm, cell.device, cell.block, ("train_step",), 9.0, cell.label)


def written(width: int, show: Callable[[Display], None], monkeypatch: pytest.MonkeyPatch, **given: str) -> str:
    """What a display writes to a real terminal of so many columns; of none, to a pipe."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **given}.items():
        monkeypatch.setenv(name, value)
    if width:
        monkeypatch.setenv("COLUMNS", str(width))  # rich asks the terminal that pytest was started on
    ours, theirs = os.openpty() if width else os.pipe()
    read: list[bytes] = []

    def drain() -> None:
        try:
            while content := os.read(ours, 65_536):
                read.append(content)
        except OSError:  # how a terminal says that nobody writes to it any more
            return

    reader = threading.Thread(target=drain)
    with open(theirs, "w", encoding="utf-8") as stream:
        reader.start()
        with Display(Console(file=stream)) as display:
            show(display)
    reader.join()
    os.close(ours)
    return b"".join(read).decode().replace("\r\n", "\n")


def a_run(display: Display) -> None:
    """Two cells of one block, the first of which hands over to the second."""
    display.say("begin")
    left = Left(100.0, 400.0)
    for number, cell in enumerate((a_cell("torch-eager", 1, 0.0412), a_cell("keras-jax", 1, 0.0535))):
        display.measuring(planned(cell), "block 1 of 6", number, 90, left, lambda: Left(90.0, 390.0))
        display.cell(cell)
    display.estimate("conv", "after block 1")


PLAIN = [
    "begin",
    "[ 1/90] conv.torch-eager.cpu.b01  ok  41.2 ms a step  in 14.2 s  2 to 6 min left",
    "[ 2/90] conv.keras-jax.cpu.b01  ok  53.5 ms a step  in 14.2 s  2 to 6 min left",
    "after block 1, conv: torch-eager 41.2 ms, keras-jax \N{MULTIPLICATION SIGN}1.30 (no interval)",
]


@pytest.mark.parametrize(
    ("width", "given"),
    [
        (0, {}),
        (0, {"COLUMNS": "20"}),
        (0, {"NO_COLOR": "1", "FORCE_COLOR": "1"}),
        (0, {"TERM": "dumb", "FORCE_COLOR": "1"}),
        (80, {"TERM": "dumb"}),
        (80, {"TERM": ""}),
        (80, {"CI": "true", "NO_COLOR": "1"}),
        (80, {"NO_COLOR": "1", "TTY_INTERACTIVE": "0"}),
    ],
    ids=str,
)
def test_lines_are_plain_and_whole_where_nothing_can_be_drawn_again(monkeypatch, width, given):
    assert written(width, a_run, monkeypatch, **given).splitlines() == PLAIN


@pytest.mark.parametrize(("width", "given"), [(0, {"FORCE_COLOR": "1"}), (80, {"CI": "1"})], ids=str)
def test_a_pipe_that_is_to_have_colours_and_the_log_of_ci_have_them_and_no_cursor_is_moved(monkeypatch, width, given):
    text = written(width, a_run, monkeypatch, **given)
    assert re.findall(r"\x1b\[[\d;?]*([A-Za-z])", text) == ["m"] * 4  # on and off for both
    assert re.sub(r"\x1b\[[\d;]*m", "", text).splitlines() == PLAIN


@pytest.mark.parametrize("width", [200, 80, 40, 24])
@pytest.mark.parametrize("given", [{}, {"NO_COLOR": "1"}, {"CI": "false"}], ids=str)
def test_a_terminal_has_live_lines_which_fit_and_are_gone_in_the_end(monkeypatch, width, given):
    text = written(width, a_run, monkeypatch, **given)
    screen = Screen(text.replace("\n", "\r\n"), width)
    assert screen.cursor_visible
    assert screen.styled is ("NO_COLOR" not in given)
    assert 0 < screen.widest_redrawn <= width - live.MARGIN
    lines = (line.removesuffix("  2 to 6 min left") for line in PLAIN[:3])  # the time left stood below
    assert "".join(line.ljust(width) for line in screen.lines).split() == " ".join(lines).split()
    assert "[ 0/90]" in text
    assert "conv: torch-eager 41.2 ms"[: width - live.MARGIN] in text


def test_a_line_says_whats_in_it_and_moves_nothing_whatever_it_is_made_of(monkeypatch):
    def show(display: Display) -> None:
        display.say(HOSTILE)
        display.cell(a_cell("torch-eager", 1, 0.01, status="failed", reason=HOSTILE))
        display.measuring(planned(a_cell(HOSTILE, 1, 0.01)), "block 1 of 1", 1, 2, Left(1, 1), lambda: Left(1, 1))

    text = written(200, show, monkeypatch, NO_COLOR="1")
    shown = r"it broke\x1b[31m\x1b[2J\r\n[bold]:boom: caf\udce9 \u202eltr \x9b1A"
    assert Screen(text.replace("\n", "\r\n"), 200).shown[0] == shown
    assert f"failed: {shown}  in 14.2 s\n" in text
    assert f"conv, {shown}, block 1 of 1" in text


def test_a_stream_that_cannot_encode_a_character_is_given_its_escape() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with Display(Console(file=stream)) as display:
        a_run(display)
        display.say("caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    told = stream.buffer.getvalue().decode("ascii").splitlines()  # type: ignore[attr-defined]
    assert told[-2:] == ["after block 1, conv: torch-eager 41.2 ms, keras-jax x1.30 (no interval)", r"caf\xe9"]


def lines_of(width: int) -> list[str]:
    now = Now("conv_only, keras-tensorflow (a2)", "block 3 of 6", 7, 90, Left(150, 500), Left(140, 490), AHEAD)
    return now.lines(width)


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            120,
            [
                "[ 7/90] conv_only, keras-tensorflow (a2), block 3 of 6, 0 s so far, 2 to 8 min left",
                "conv_only: torch-eager 41.2 ms, keras-jax x1.31 [1.27, 1.36], keras-torch x1.52 [1.4, 1.6]",
            ],
        ),
        (
            77,
            [
                "[ 7/90] conv_only, keras-tensorflow (a2), block 3 of 6, 2 to 8 min left",
                "conv_only: torch-eager 41.2 ms, keras-jax x1.31 [1.27, 1.36], 1 more",
            ],
        ),
        (
            61,
            [
                "[ 7/90] conv_only, keras-tensorflow (a2), 2 to 8 min left",
                "conv_only: torch-eager 41.2 ms, 2 more",
            ],
        ),
        (
            37,
            [
                "[ 7/90] 2 to 8 min left",
                "conv_only, keras-tensorflow (a2)",
                "conv_only: torch-eager 41.2 ms",
            ],
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_live_lines_leave_out_whole_parts_where_they_do_not_fit(width, lines):
    assert lines_of(width) == lines


def test_no_live_line_is_wider_than_a_terminal_of_40_columns_or_more():
    for width in range(37, 200):
        assert max(map(cell_len, lines_of(width))) <= width


def test_a_redraw_costs_next_to_nothing(monkeypatch):
    spent_s: list[float] = []

    def show(display: Display) -> None:
        a_run(display)
        begin_s = time.thread_time()
        for _ in range(100):
            display._live.refresh()
        spent_s.append((time.thread_time() - begin_s) / 100)

    written(80, show, monkeypatch)
    # One redraw a second: 0.5 % of one core. It takes 0.4 ms on a machine of 2 cores; ten times that is still nothing.
    assert spent_s[0] < 0.005


@pytest.mark.parametrize(
    ("least_s", "most_s", "words"),
    [
        (0, 0, ""),
        (0.2, 45, "up to 45 s left"),
        (45, 45.1, "about 45 s left"),
        (12, 45, "12 to 45 s left"),
        (45, 480, "45 s to 8 min left"),
        (180, 480, "3 to 8 min left"),
        (4800, 8400, "80 min to 2 h 20 min left"),
        (8400, 12000, "2 h 20 min to 3 h 20 min left"),
    ],
)
def test_the_time_left_in_words(least_s, most_s, words):
    assert Left(least_s, most_s).words() == words


def test_a_cell_that_takes_longer_than_estimated_leaves_what_comes_after_it():
    now = Now("conv, torch-eager", "block 1 of 6", 0, 9, Left(100, 100), Left(80, 80), since_s=time.monotonic() - 3600)
    assert "about 80 s left" in now.lines(120)[0]
    now.then = Left(0, 0)
    assert now.lines(120) == ["[0/9] conv, torch-eager, block 1 of 6, 60 min so far"]


def test_an_interrupt_leaves_the_cursor_and_nothing_of_the_live_lines(monkeypatch):
    def show(display: Display) -> None:
        a_run(display)
        raise KeyboardInterrupt

    def interrupted(display: Display) -> None:
        with pytest.raises(KeyboardInterrupt), display:
            show(display)

    screen = Screen(written(80, interrupted, monkeypatch).replace("\n", "\r\n"), 80)
    assert screen.cursor_visible
    assert (screen.column, screen.lines[-1]) == (0, "")
    assert not [line for line in screen.lines if "left" in line]


def test_what_cannot_be_written_any_more_interrupts_the_run_once_and_goes_on_on_standard_error(capsys):
    told = []
    with open("/dev/full", "w") as full, interruptible(), Display(Console(file=full)) as display:
        try:
            display.say("a line")
        except KeyboardInterrupt:
            told.append("interrupted")
            display.say("everything is kept")
    assert told == ["interrupted"]
    assert capsys.readouterr().err.splitlines() == [
        "bench: the output cannot be written any more (No space left on device); the run ends here",
        "bench: everything is kept",
    ]
