"""What a run leaves to its user at its end: where the report is, and what to be careful about."""

from pathlib import Path

import msgspec
import pytest
from make_run import edit, make_run, make_workload

from bench import handover, image, record
from bench.record import Cell, Run


def stored(folder: Path) -> tuple[Run, list[Cell]]:
    run = record.read(folder / "run.json", Run)
    return run, [record.read(folder / "cells" / f"{cell.id}.json", Cell) for cell in run.plan]


def test_the_page_comes_first_and_paths_are_those_the_user_gave() -> None:
    built = ("curves.csv", "figures/learning-conv-cpu.svg", "measurements.csv", "report.md", "report.html")
    assert handover.pages(Path("results/run", name) for name in built) == [
        "report: results/run/report.html",
        "report: results/run/report.md",
    ]
    assert handover.pages([Path("results/run/curves.csv")]) == []


@pytest.mark.parametrize("lost", [True, False])
def test_in_a_container_it_is_told_what_the_path_is_outside(monkeypatch, lost):
    monkeypatch.setattr(image, "here", lambda: object())
    monkeypatch.setattr(handover, "goes_with_container", lambda folder: lost)
    told = handover.pages([Path("/results/run/report.html")])
    outside = "        in the container; outside, run is in the folder mounted at /results"
    assert told == ["report: /results/run/report.html", *([] if lost else [outside])]


def test_a_whole_run_on_genuine_data_asks_for_no_caution(tmp_path):
    folder = make_run(tmp_path / "run", workloads=("conv",), blocks=1, rounds=9, identity="genuine")
    assert handover.cautions(*stored(folder), folder) == []


def test_everything_that_asks_for_caution_is_told_in_one_line_with_where_to_read_on(tmp_path):
    folder = make_run(tmp_path / "run", workloads=("conv", "conv_only"), blocks=2, rounds=9)
    edit(folder / "cells" / "conv.torch-eager.cpu.b1.json", status="failed", reason="it broke")
    edit(folder / "cells" / "conv.torch-eager.cpu.b2.json", status="failed", reason="it broke")
    edit(folder / "cells" / "conv.keras-jax.cpu.b2.json", status="hole", reason="budget spent")
    edit(folder / "cells" / "conv.keras-torch.cpu.b2.json", tries=(record.Try("killed"),))
    edit(folder / "parity" / "conv.torch-eager.cpu.json", passed=False, reason="another")
    (folder / "parity" / "conv_only.torch-eager.cpu.json").write_text("half a rec")
    assert handover.cautions(*stored(folder), folder) == [
        "caution: synthetic data; 1 parity check failed; 1 parity record unreadable; 2 cells failed; "
        '1 cell not measured (holes); 1 cell tried again: see "Read this first" in the report'
    ]


def test_data_of_some_workloads_only_is_named_with_them(tmp_path):
    folder = make_run(tmp_path / "run", workloads=("conv", "conv_only"), blocks=1, rounds=9)
    run, cells = stored(folder)
    genuine, other = (make_workload("conv", identity, "logits") for identity in ("genuine", "other"))
    mixed = msgspec.structs.replace(run, workloads={**run.workloads, "conv": genuine})
    (line,) = handover.cautions(mixed, cells, folder)
    assert line.startswith("caution: synthetic data (conv_only): ")
    (line,) = handover.cautions(msgspec.structs.replace(run, workloads={"conv": other}), cells, folder)
    assert line.startswith("caution: another year's data: ")
