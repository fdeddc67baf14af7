from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_run import edit, make_run
from read_report import notices, rows

from bench import record
from bench.errors import UsageError
from bench.report import build, figures

EXTRA = {"phase": "epoch", "warmup_rounds": 0, "steps_per_round": 1, "samples_per_round": 1}


def test_a_run_of_one_cell_is_reported_without_a_claim_on_noise(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one", workloads=("conv_gru",), arms=("torch-eager",), blocks=1, rounds=1)
    build(folder)
    report = (folder / "report.md").read_text()
    assert "**One block** (conv_gru)" in report
    assert "(median of block medians; 1 block)" in report
    assert "takes" not in next(line for line in report.splitlines() if line.startswith("**conv_gru on cpu**"))
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".svg", ".csv"}
    assert len(list((folder / "figures").iterdir())) == 2 * len(figures.KINDS)


def test_a_run_without_cells_is_reported(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "none", workloads=("conv",), blocks=1, rounds=1, finished=False)
    for path in [*(folder / "cells").iterdir(), *(folder / "parity").iterdir()]:
        path.unlink()
    written = build(folder)
    report = (folder / "report.md").read_text()
    assert "nothing was measured" in report
    assert "**5 planned cells of 5 not measured**" in report
    assert [row["status"] for row in rows(folder / "measurements.csv")] == ["missing"] * 5
    assert rows(folder / "curves.csv") == []
    assert [path.name for path in written] == ["curves.csv", "measurements.csv", "report.html", "report.md"]


def test_a_run_without_plan_or_folders_is_reported(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "empty", workloads=("conv",), blocks=0)
    for name in ("cells", "parity"):
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()
    edit(folder / "run.json", workloads={})
    build(folder)
    assert "The run has no workload." in (folder / "report.md").read_text()


def test_figures_of_cells_that_were_lost_do_not_stay_behind(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    build(folder)
    own = folder / "figures" / "mine.svg"
    own.write_text("<svg/>")
    (folder / "cells" / "conv.torch-eager.cpu.b1.json").write_text("{")
    build(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["mine.svg"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "f" * 16}, "not comparable"),
        ({"data_identity": "synthetic"}, "was measured on synthetic data, the run says genuine"),
        ({"arm": "another"}, "which this run does not have"),
        ({"pytest_benchmark": {"benchmarks": [{"stats": {}}]}}, "rounds in an unknown form (KeyError"),
        (
            {"pytest_benchmark": {"benchmarks": [{"extra_info": EXTRA, "stats": {"data": [0.0]}}]}},
            "no possible time",
        ),
        (
            {
                "pytest_benchmark": {
                    "benchmarks": [{"extra_info": EXTRA | {"starts_s": [1.0]}, "stats": {"data": [1.0, 2.0]}}]
                }
            },
            "without its start",
        ),
        (
            {
                "pytest_benchmark": {
                    "benchmarks": [{"extra_info": EXTRA | {"starts_s": [1.0, 2.0]}, "stats": {"data": [1.0]}}]
                }
            },
            "without its start",
        ),
        (
            {
                "pytest_benchmark": {
                    "benchmarks": [{"extra_info": EXTRA | {"starts_s": ["soon"]}, "stats": {"data": [1.0]}}]
                }
            },
            "rounds in an unknown form (TypeError",
        ),
        ({"ledger": (record.Span("lunch", 0.0, 1.0),)}, "has lunch in its ledger, which no cell has"),
    ],
)
def test_a_cell_that_cannot_be_compared_is_set_aside_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    folder = make_run(
        tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=2, rounds=2, identity="genuine"
    )
    edit(folder / "cells" / "conv.torch-eager.cpu.b2.json", **changes)
    build(folder)
    assert reason in notices((folder / "report.md").read_text())
    assert {row["block"]: row["status"] for row in rows(folder / "measurements.csv")} == {"1": "ok", "2": "unreadable"}


def test_a_parity_failure_is_told_at_the_top_and_in_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    path = folder / "parity" / "conv.torch-eager.cpu.json"
    value = record.read(path, record.Parity)
    bad = record.ParityCheck("float64", "gradient conv1.kernel", 0.25, 1e-9, False)
    record.write(
        path,
        msgspec.structs.replace(
            value, passed=False, reason="gradient conv1.kernel: 0.25 > 1e-9", checks=(*value.checks, bad)
        ),
    )
    build(folder)
    report = (folder / "report.md").read_text()
    assert "conv, torch-eager: gradient conv1.kernel: 0.25 > 1e-9" in notices(report)
    assert "2.5e-01 / 1e-09 **FAILED**" in report


def test_a_folder_that_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json: cannot be read"):
        build(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(UsageError, match="result schema 99"):
        build(tmp_path)


def test_a_report_that_cannot_be_written_is_a_usage_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    (folder / "figures").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot be written there"):
        build(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["cells", "figures", "parity", "run.json"]
