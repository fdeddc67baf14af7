from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_run import edit, make_run
from markdown_it import MarkdownIt
from read_report import headings, notices, parse, rows

from bench import record
from bench.report import build

HOSTILE = (
    "=cmd|'/C calc'!A0\n# <script>alert(1)</script> `x` ![i](http://h) $x^2$ *b* _c_ &lt; \u202e\x1b[31m\u05d0 "
    + "long " * 80
)
HOLE = "no compiler | <img src=x onerror=alert(1)>\n## install g++"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile text in every field that can carry it, a failure, an unreadable and a missing cell; then reported."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "hostile",
        workloads=("conv",),
        blocks=2,
        rounds=3,
        rename={"torch-eager": HOSTILE},
        holes={"torch-compile": HOLE},
        finished=False,
        control="torch-eager",
        ceilings=True,
    )
    cells = folder / "cells"
    edit(
        cells / "conv.keras-jax.cpu.b1.json", status="failed", reason=HOSTILE, output_tail="a\n```\n# out\x1b[0m\n" * 9
    )
    edit(cells / "conv.torch-eager.cpu.b2.json", versions={HOSTILE: HOSTILE}, environment={"+X|Y": HOSTILE})
    tainted = record.Window(0.0, 1e6, {}, (HOSTILE,))
    tried = record.Try(HOSTILE, (0.02, 0.03))
    energy = record.Energy(HOSTILE, None, None, None, HOSTILE)
    edit(
        cells / "conv.keras-tensorflow.cpu.b1.json", watch=(tainted,), tries=(tried,), energy=(energy,), beside=HOSTILE
    )
    (cells / "conv.keras-torch.cpu.b1.json").write_text('{"schema": 1, "id": "conv')
    (cells / "conv.keras-torch.cpu.b2.json").unlink()
    run = record.read(folder / "run.json", record.Run)
    changes: dict[str, Any] = {
        "command": ("bench", "run", "--out", HOSTILE + "```"),
        "ended_because": HOSTILE,
        "notes": (HOSTILE,),
    }
    workload = run.workloads["conv"]
    source = msgspec.structs.replace(workload.data, description=HOSTILE)
    changes["workloads"] = {"conv": msgspec.structs.replace(workload, data=source, title=HOSTILE)}
    edit(
        folder / "run.json",
        **changes,
        environment={HOSTILE: [HOSTILE, None], "git": {"commit": "c0ffee", "dirty": True}},
    )
    build(folder)
    return folder


def test_everything_untrustworthy_stands_above_the_figures(hostile: Path) -> None:
    top = notices((hostile / "report.md").read_text())
    for notice in (
        "**Synthetic data**",
        "**1 cell failed**",
        "**1 file set aside**",
        "cells/conv.keras-torch.cpu.b1.json: not a whole Cell record",
        "**1 planned cell of 13 not measured**",
        "**Holes**",
        "**The run is not finished**",
        "**Changed code**: the checkout differed from commit c0ffee",
    ):
        assert notice in top


def test_hostile_text_is_shown_and_changes_nothing_in_the_page(hostile: Path) -> None:
    report = (hostile / "report.md").read_text()
    tokens = parse(report)
    assert not [token for token in tokens if token.type in ("html_inline", "html_block")]
    images = [token.attrs["src"] for token in tokens if token.type == "image"]
    assert all(str(source).startswith("figures/") and (hostile / str(source)).is_file() for source in images)
    assert not [token for token in tokens if token.type == "link_open"]
    assert not [char for char in report if ord(char) < 32 and char != "\n"]
    assert "\u202e" not in report
    assert not [heading for heading in headings(report) if heading.startswith(("# <", "# out", "## install"))]
    shown = [token.content for token in tokens if token.type == "text"]
    assert any("<script>alert(1)</script>" in content for content in shown), "it must be readable, not dropped"


def test_hostile_text_never_adds_a_column_to_a_table(hostile: Path) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse((hostile / "report.md").read_text())
    columns, widths = 0, []
    for token in tokens:
        if token.type == "table_open":
            widths.append(set[int]())
        elif token.type == "tr_open":
            columns = 0
        elif token.type in ("th_open", "td_open"):
            columns += 1
        elif token.type == "tr_close":
            widths[-1].add(columns)
    assert len(widths) == 17, (
        "step, pairs, epoch, pairs, time in block 1 and later, resources, distance to the limit, parity, model, cells, "
        "disturbances, frequency, environment, data, settings that are the same, those that differ"
    )
    assert all(len(found) == 1 for found in widths)


def test_no_text_cell_of_a_csv_file_is_a_formula(hostile: Path) -> None:
    found = rows(hostile / "measurements.csv") + rows(hostile / "curves.csv")
    texts = {row[name] for row in found for name in ("run", "workload", "arm", "device", "cell", "status")}
    texts |= {row.get("reason", "") for row in found}
    assert "'" + HOSTILE in texts
    assert not [value for value in texts if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]


def test_holes_failures_missing_and_unreadable_cells_are_rows_without_figures(hostile: Path) -> None:
    found = [row for row in rows(hostile / "measurements.csv") if row["cell"].startswith("conv.keras-torch")]
    assert [(row["status"], row["arm"], row["block"], row["seconds"], row["round"]) for row in found] == [
        ("unreadable", "keras-torch", "1", "", ""),
        ("missing", "keras-torch", "2", "", ""),
    ]
    failed = [row for row in rows(hostile / "measurements.csv") if row["status"] == "failed"]
    assert failed
    assert {row["cell"] for row in failed} == {"conv.keras-jax.cpu.b1"}
    assert all(row["seconds"] for row in failed), "rounds measured before the failure are kept, and marked"


def test_a_failed_cell_enters_no_figure(hostile: Path) -> None:
    report = (hostile / "report.md").read_text()
    line = next(line for line in report.splitlines() if line.startswith("| keras-jax "))
    assert line.split("|")[5].strip() == "1", "of two blocks one failed"
