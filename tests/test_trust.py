"""What the strip at the top of a report says is so, good or bad."""

from pathlib import Path
from typing import Any

import msgspec
from make_run import edit, make_run
from read_report import notices, section

from bench.report import build, frames, verdicts
from bench.report.folder import load
from bench.report.summary import contests
from bench.report.trust import trust

PLAIN: dict[str, Any] = {"workloads": ("conv", "conv_only"), "arms": ("torch-eager", "keras-jax"), "rounds": 4}


def words(folder: Path) -> dict[str, str]:
    """Text → kind."""
    read = load(folder)
    found = contests(read, frames.measurements(read), frames.curves(read))
    return {word.text: word.kind for word in trust(read, found)}


def test_a_whole_run_on_genuine_data_says_so_and_names_its_worst_noise(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", identity="genuine", control="torch-eager", blocks=4, **PLAIN)
    found = words(folder)
    assert list(found)[:4] == [
        "genuine data",
        "parity: 4 of 4 equal to the reference",
        "24 of 24 cells measured",
        "no round disturbed",
    ]
    assert set(list(found.values())[:4]) == {"good"}
    (noise,) = list(found)[4:]
    read = load(folder)
    every = contests(read, frames.measurements(read), frames.curves(read))
    widths = {}
    for contest in every:
        control = verdicts.control(contest, "train_step")
        assert control is not None
        widths[contest.workload] = control.effect.high / control.effect.low
    worst = max(widths, key=lambda name: widths[name])
    assert noise.startswith("noise, an arm against itself: ")
    assert noise.endswith(f" ({worst}, the worst of 2)")


def test_data_of_two_kinds_are_told_by_workload(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", identity="genuine", **PLAIN)
    raw = msgspec.to_builtins(load(folder).run)["workloads"]
    raw["conv_only"]["data"]["identity"] = "other"
    edit(folder / "run.json", workloads=raw)
    found = words(folder)
    assert found["genuine data (conv)"] == "good"
    assert found["other data (conv_only)"] == "bad"


def test_what_is_wrong_with_a_run_is_bad(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", busy=0.3, finished=False, **PLAIN)
    cells = sorted((folder / "cells").glob("*.json"))
    edit(cells[0], status="failed", reason="killed")
    cells[1].unlink()
    edit(next((folder / "parity").glob("*.json")), passed=False, reason="gradient")
    found = words(folder)
    total = len(load(folder).run.plan)
    for text in (
        "synthetic data",
        "parity: 3 of 4 equal to the reference",
        f"{total - 2} of {total} cells measured",
        "1 failed",
        "not finished",
        "no A/A control",
    ):
        assert found[text] == "bad", text
    assert any(text.endswith("% of rounds disturbed") and kind == "bad" for text, kind in found.items())


def test_an_arm_without_a_parity_record_is_not_counted_as_equal_and_stands_above_the_figures(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", **PLAIN)
    (folder / "parity" / "conv.torch-eager.cpu.json").unlink()
    assert words(folder)["parity: 3 of 4 equal to the reference"] == "bad"
    build(folder)
    page = (folder / "report.md").read_text()
    assert "**Parity not proved**" in notices(page)
    assert "Not known to learn the same: no parity record of torch-eager" in section(page, "## Verdict")


def test_a_control_that_was_planned_and_not_measured_is_told_from_none(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", control="torch-eager", **PLAIN)
    for path in (folder / "cells").glob("*.a2.json"):
        path.unlink()
    assert words(folder)["A/A control not measured"] == "bad"
