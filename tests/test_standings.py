"""Who is ahead: the running estimate, the table at the end and its answer, in the figures of the report."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from even_cells import a_cell
from make_run import edit, make_run

from bench import derived, effects, record, stats, wording
from bench.display.screen import Screen
from bench.display.standings import Standings
from bench.display.verdict_table import verdict_table
from bench.record import Cell, Run

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def screen() -> Iterator[Screen]:
    """Of 80 columns."""
    with Path(os.devnull).open("w") as stream:
        screen = Screen(stream)
        screen.width = 80
        yield screen


def stored(folder: Path) -> tuple[Run, list[Cell]]:
    run = record.read(folder / "run.json", Run)
    return run, [record.read(folder / "cells" / f"{cell.id}.json", Cell) for cell in run.plan]


def shown(folder: Path, screen: Screen) -> list[str]:
    """The lines of the table and of the answers."""
    run, cells = stored(folder)
    with screen.capture() as capture:
        screen.print(verdict_table(run, Standings(cells), screen))
    return capture.get().splitlines()


def standings(figures: Mapping[str, list[float]], label: str = "", **changes: object) -> Standings:
    """Of arms with these step times in blocks 1, 2, ...; of the first one's second entry if there is a label."""
    found = Standings()
    for number, (arm, steps_s) in enumerate(figures.items()):
        for block, step_s in enumerate(steps_s, 1):
            found.add(a_cell(arm, block, step_s, **changes))
            if label and not number:
                found.add(a_cell(arm, block, step_s * 1.1, label=label))
    return found


def test_every_contestant_stands_against_the_fastest_and_the_control_against_its_own_arm(tmp_path, screen):
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager", "keras-jax"),
        blocks=3,
        rounds=9,
        control="torch-eager",
        ceilings=True,
    )
    lines = [line.split() for line in shown(folder, screen)]
    title = lines.index(["conv"])
    fastest, other, control = lines[title + 1 : title + 4]
    assert not lines[title + 4], "a ceiling cell is no contestant"
    figures: dict[str, dict[int, float]] = {}
    for path in (folder / "cells").glob("conv.*"):
        cell = record.read(path, Cell)
        figures.setdefault(cell.contestant, {})[cell.block] = stats.median(derived.phases(cell)["train_step"].counted_s)
    slower = effects.effect(figures["torch-eager"], figures["keras-jax"])
    noise = effects.effect(figures["torch-eager (a2)"], figures["torch-eager"])
    assert slower is not None
    assert noise is not None
    assert [fastest[0], *fastest[2:]] == ["keras-jax", "fastest", "3"]
    assert [other[0], *other[2:]] == ["torch-eager", *wording.ratio(slower).split(), "3", "SLOWER"]
    assert [*control[:2], *control[3:]] == [
        "torch-eager",
        "(a2)",
        *wording.ratio(noise).split(),
        "3",
        effects.verdict(noise),
    ]
    assert lines[-1][:4] == ["conv:", "keras-jax", "is", "fastest."]


def test_an_arm_without_a_step_time_says_why_and_one_block_gives_no_interval(tmp_path, screen):
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager", "keras-jax", "keras-torch"), blocks=1)
    edit(folder / "cells" / "conv.keras-torch.cpu.b1.json", status="failed", reason="it broke")
    lines = [line.split() for line in shown(folder, screen)]
    title = lines.index(["conv"])
    fastest, other, failed = lines[title + 1 : title + 4]
    assert fastest[2:] == ["fastest", "1"]
    assert other[3:] == ["(no", "interval)", "1", "UNRESOLVED"]
    assert failed == ["keras-torch", "-", "failed", "0"]


def test_a_screen_that_would_cut_the_table_has_all_of_it_in_lines(tmp_path, screen):
    folder = make_run(tmp_path / "run", workloads=("conv", "conv_only"), rounds=9, control="torch-eager")
    wide = shown(folder, screen)
    screen.width = 40
    narrow = shown(folder, screen)
    assert max(map(len, narrow)) <= 40
    # Every word and figure of the table's rows, which end at the legend, in the order of the rows.
    rows = [line.split() for line in wide[3 : next(n for n, line in enumerate(wide) if line.startswith("ratio:"))]]
    words = [word.rstrip(",") for line in narrow for word in line.split()]
    for row in filter(None, rows):
        place = words.index(row[0])
        assert {word.rstrip(",") for word in row} <= set(words[place : place + 13]), row
        words = words[place + 1 :]


def test_whole_schedules_are_compared_by_their_epochs(tmp_path, screen):
    run, _ = stored(make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager", "keras-jax"), blocks=1))
    found = standings({"torch-eager": [0.01], "keras-jax": [0.02]}, phase="converge")
    assert found.add(a_cell("torch-compile", 1, 0.03, phase="converge")) == "15.0 s an epoch"
    with screen.capture() as capture:
        screen.print(verdict_table(run, found, screen))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["arm", "epoch", "s", "ratio", "blocks", "verdict"] in lines
    assert ["torch-eager", "5.00", "fastest", "1"] in lines
    assert ["keras-jax", "10.0", "2.00", "(no", "interval)", "1", "UNRESOLVED"] in lines


def test_the_running_estimate_follows_every_cell():
    found = Standings()
    told = []
    for arm, block, step_s in (("a", 1, 0.01), ("b", 1, 0.02), ("c", 1, 0.015), ("b", 2, 0.022), ("a", 2, 0.01)):
        found.add(a_cell(arm, block, step_s))
        told.append(found.estimate("conv"))
    assert told[0] == ["a 10.0 ms"]
    assert told[1] == ["a 10.0 ms", f"b {TIMES}2.00 (no interval)"]
    assert told[2] == ["a 10.0 ms", f"c {TIMES}1.50 (no interval)", f"b {TIMES}2.00 (no interval)"]
    assert told[3] == told[2]  # block 2 has no rival yet
    b = effects.effect({1: 0.02, 2: 0.022}, {1: 0.01, 2: 0.01})
    assert b is not None
    assert told[4] == ["a 10.0 ms", f"c {TIMES}1.50 (no interval)", f"b {TIMES}{wording.ratio(b)}"]
    assert found.estimate("conv_gru") == []


def test_a_tuned_arm_stands_behind_the_others_with_its_time_over_that_of_the_fastest_of_them():
    found = Standings(tuned={"t"})
    for arm, step_s in (("t", 0.001), ("b", 0.02), ("a", 0.01)):
        found.add(a_cell(arm, 1, step_s))
    assert [place.arm for place in found.places("conv")] == ["a", "b", "t"]
    b, t = (f"{TIMES}{value} (no interval)" for value in ("2.00", "0.10"))
    assert found.estimate("conv") == ["a 10.0 ms", f"b {b}", f"t {t}"]
    assert found.answer("conv", 0.02).endswith("Tuned, beside a: t 0.10 times as long (no interval).")


def test_a_failed_cell_and_a_ceiling_have_no_figure_and_change_no_estimate():
    found = standings({"a": [0.01]})
    assert found.add(a_cell("b", 1, 0.005, status="failed", reason="it broke")) == ""
    assert found.add(a_cell("b", 0, 0.005, workload=record.CEILING)) == ""
    assert found.estimate("conv") == ["a 10.0 ms"]


STEADY = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999]
UNSTEADY = [1.5, 0.8, 1.6, 0.7, 1.5, 0.8]


@pytest.mark.parametrize(
    ("figures", "answer"),
    [
        ({}, "Nothing was measured."),
        ({"a": STEADY}, "Only a was measured."),
        ({"a": STEADY, "b": [2.0] * 6}, "a is fastest. b takes 2.000 times as long [1.998, 2.002]."),
        (
            {"a": STEADY, "b": [2.0] * 6, "c": [3.0] * 6},
            "a is fastest. c is slowest and takes 3.000 times as long [2.997, 3.003].",
        ),
        ({"a": STEADY, "b": [1.001] * 6}, "a and b are fastest and take the SAME time."),
        ({"a": STEADY, "b": UNSTEADY}, "a or b is fastest: UNRESOLVED."),
        (
            {"a": STEADY, "b": [1.001] * 6, "c": UNSTEADY, "d": [2.0] * 6},
            "a, b or c is fastest: UNRESOLVED. d takes 2.000 times as long as a [1.998, 2.002].",
        ),
        ({"a": [1.0], "b": [2.0]}, "a is ahead of b (2.00 times as long): UNRESOLVED, one block gives no interval."),
    ],
)
def test_the_answer_in_words(figures, answer):
    assert standings(figures).answer("conv", 0.02) == answer


def test_an_arm_that_differs_from_itself_is_told_with_the_answer():
    answer = standings({"a": STEADY, "b": [2.0] * 6}, label=record.CONTROL).answer("conv", 0.02)
    assert answer.endswith(" The A/A control differs from its own arm, 1.1000 [1.1000, 1.1000].")
