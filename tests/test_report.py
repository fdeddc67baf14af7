import csv
import itertools
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_run import make_run
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench import record
from bench.errors import UsageError
from bench.report import build
from bench.report.markdown import code, fence, number, table, text
from bench.report.parity import family

HOSTILE = (
    "=cmd|'/C calc'!A0\n# <script>alert(1)</script> `x` ![i](http://h) $x^2$ *b* _c_ &lt; \u202e\x1b[31m\u05d0 "
    + "long " * 80
)
HOLE = "no compiler | <img src=x onerror=alert(1)>\n## install g++"


def parse(markdown: str) -> list[Token]:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [inner for token in tokens for inner in (token, *(token.children or ()))]


def headings(markdown: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [
        f"{token.markup} {after.content}" for token, after in itertools.pairwise(tokens) if token.type == "heading_open"
    ]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def edit(path: Path, **changes: Any) -> None:
    value = record.read(path, record.Cell if path.parent.name == "cells" else record.Run)
    record.write(path, msgspec.structs.replace(value, **changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workloads, all arms but a hole, genuine data, two epochs."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "whole",
        workloads=("conv", "conv_only"),
        blocks=3,
        rounds=5,
        epochs=2,
        identity="genuine",
        holes={"torch-compile": "no C++ compiler; install g++"},
    )
    build(folder)
    return folder


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
    )
    cells = folder / "cells"
    edit(
        cells / "conv.keras-jax.cpu.b1.json", status="failed", reason=HOSTILE, output_tail="a\n```\n# out\x1b[0m\n" * 9
    )
    edit(cells / "conv.torch-eager.cpu.b2.json", versions={HOSTILE: HOSTILE}, environment={"+X|Y": HOSTILE})
    (cells / "conv.keras-torch.cpu.b1.json").write_text('{"schema": 1, "id": "conv')
    (cells / "conv.keras-torch.cpu.b2.json").unlink()
    run = record.read(folder / "run.json", record.Run)
    changes: dict[str, Any] = {"command": ("bench", "run", "--out", HOSTILE + "```"), "ended_because": HOSTILE}
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


def test_the_report_tells_its_story_in_a_fixed_order(whole: Path) -> None:
    assert headings((whole / "report.md").read_text()) == [
        "# Run whole",
        "## Read this first",
        "## In words",
        *(
            line
            for title in (
                "conv on cpu: IMDB reviews, convolutions",
                "conv_only on cpu: Jena temperature, convolutions alone",
            )
            for line in (
                f"## {title}",
                "### Step time",
                "### Epoch, first step, memory, validation",
                "### Learning",
                "### Parity",
                "### Model",
            )
        ),
        "## Settings of each arm",
        "## Environment",
        "## Data",
        "## Run it again",
    ]


def test_the_answer_names_the_shortest_step_time_with_ratios_blocks_and_range_and_no_verdict(whole: Path) -> None:
    report = (whole / "report.md").read_text()
    paragraph = next(line for line in report.splitlines() if line.startswith("**conv on cpu**"))
    kept = [
        r
        for r in rows(whole / "measurements.csv")
        if r["workload"] == "conv" and r["phase"] == "train_step" and r["warmup"] == "0"
    ]
    blocks = {
        arm: [
            statistics.median(float(r["step_time_s"]) for r in kept if r["arm"] == arm and r["block"] == block)
            for block in ("1", "2", "3")
        ]
        for arm in ("keras-jax", "torch-eager")
    }
    best, other = (statistics.median(blocks[arm]) for arm in blocks)
    assert f"keras-jax's, {best * 1e3:.1f} ms (median of block medians; 3 blocks, " in paragraph
    assert f"{min(blocks['keras-jax']) * 1e3:.1f} to {max(blocks['keras-jax']) * 1e3:.1f} ms" in paragraph
    assert f"torch-eager takes {other / best:.2f} times as long (3 blocks)" in paragraph
    assert "Without a step time: torch-compile (hole)." in paragraph
    assert not {"FASTER", "SLOWER", "SAME", "faster than the others"} & set(report.split())


def test_the_csv_holds_every_raw_round_of_the_records_exactly(whole: Path) -> None:
    found = rows(whole / "measurements.csv")
    expected = []
    for path in sorted((whole / "cells").iterdir()):
        cell = record.read(path, record.Cell)
        for phase in record.phases(cell).values():
            for place, seconds in enumerate(phase.rounds_s):
                warmup = "1" if place < phase.warmup_rounds else "0"
                expected.append((cell.id, phase.name, str(place + 1), warmup, seconds, seconds / phase.steps_per_round))
    held = [
        (r["cell"], r["phase"], r["round"], r["warmup"], float(r["seconds"]), float(r["step_time_s"]))
        for r in found
        if r["status"] == "ok"
    ]
    assert sorted(held) == sorted(expected)
    assert all(
        float(r["throughput_samples_per_s"]) == int(r["samples"]) / float(r["seconds"]) for r in found if r["seconds"]
    )


def test_the_csv_holds_every_point_of_every_learning_curve_exactly(whole: Path) -> None:
    held = {
        (r["cell"], r["epoch"], r["split"], r["metric"]): (
            float(r["value"]),
            float(r["train_s"]),
            float(r["validate_s"]),
        )
        for r in rows(whole / "curves.csv")
    }
    expected = {}
    for path in (whole / "cells").iterdir():
        cell = record.read(path, record.Cell)
        for point in cell.curve:
            for split in ("train", "validation"):
                for metric, value in getattr(point, split).items():
                    expected[cell.id, str(point.epoch), split, metric] = (value, point.train_s, point.validate_s)
    assert held == expected


def test_building_again_gives_the_same_bytes_even_in_another_process(whole: Path) -> None:
    before = {path: path.read_bytes() for path in build(whole)}
    program = "import sys, pathlib; from bench.report import build; build(pathlib.Path(sys.argv[1]))"
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, "-c", program, str(whole)], check=True, cwd=root, env=os.environ | {"PYTHONHASHSEED": "77"}
    )
    assert {path: path.read_bytes() for path in before} == before
    assert not list(whole.rglob(".*")), "temporary files were left behind"


def test_published_figures_stand_beside_genuine_data_with_their_source_and_head(whole: Path) -> None:
    report = (whole / "report.md").read_text()
    assert "| published |" in report
    assert "0.6818" in report, "the published validation loss of conv after epoch 1"
    assert "Published: Deep Learning with Python (2017)" in report
    assert "made with head `as_published`" in report


def test_published_figures_made_with_the_same_head_need_no_note(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager",),
        blocks=1,
        rounds=3,
        identity="equivalent",
        head="as_published",
    )
    build(folder)
    report = (folder / "report.md").read_text()
    assert "0.6818" in report
    assert "made with head" not in report


@pytest.mark.parametrize(
    ("identity", "epoch_steps", "why"),
    [
        ("synthetic", None, "the data is synthetic"),
        ("other", None, "the data is other"),
        ("genuine", 3, "epochs were cut to 3 of 157 steps"),
    ],
)
def test_published_figures_never_stand_beside_what_they_cannot_be_compared_with(
    tmp_path: Path, identity: str, epoch_steps: int | None, why: str
) -> None:
    folder = make_run(
        tmp_path / "run",
        workloads=("conv",),
        arms=("torch-eager",),
        blocks=1,
        rounds=3,
        identity=identity,
        epoch_steps=epoch_steps,
    )
    build(folder)
    report = (folder / "report.md").read_text()
    assert f"Published figures are not shown: {why}" in report
    assert "0.6818" not in report
    assert "published |" not in report
    if identity != "genuine":
        notice = {"synthetic": "**Synthetic data** (conv)", "other": "**Another year's data** (conv)"}[identity]
        assert notice in report.partition("## In words")[0], "it must stand above every figure"


def test_everything_untrustworthy_stands_above_the_figures(hostile: Path) -> None:
    top = (hostile / "report.md").read_text().partition("## In words")[0]
    for notice in (
        "**Synthetic data**",
        "**1 cell failed**",
        "**1 file set aside**",
        "cells/conv.keras-torch.cpu.b1.json: not a whole Cell record",
        "**1 planned cell of 8 not measured**",
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
    assert len(widths) == 8, "step, epoch, parity, model, cells, settings, environment, data"
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
    assert line.split("|")[7].strip() == "1", "of two blocks one failed"


def test_a_run_of_one_cell_is_reported_without_a_claim_on_noise(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one", workloads=("conv_gru",), arms=("torch-eager",), blocks=1, rounds=1)
    build(folder)
    report = (folder / "report.md").read_text()
    assert "**One block** (conv_gru)" in report
    assert "(median of block medians; 1 block)" in report
    assert "takes" not in next(line for line in report.splitlines() if line.startswith("**conv_gru on cpu**"))
    assert len(list((folder / "figures").iterdir())) == 4


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
    assert [path.name for path in written] == ["curves.csv", "measurements.csv", "report.md"]


def test_a_run_without_plan_or_folders_is_reported(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "empty", workloads=("conv",), blocks=0)
    for name in ("cells", "parity"):
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()
    edit(folder / "run.json", workloads={})
    build(folder)
    assert "The run has no workload." in (folder / "report.md").read_text()


def test_a_run_of_trainings_only_is_ranked_by_epoch_time(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "book", workloads=("conv_only",), arms=("torch-eager", "keras-jax"), blocks=1, rounds=1, epochs=3
    )
    for path in (folder / "cells").iterdir():
        cell = record.read(path, record.Cell)
        epoch = record.phases(cell)["epoch"].rounds_s[0]
        extra = {"phase": "converge", "warmup_rounds": 0, "steps_per_round": 500, "samples_per_round": 64_000}
        edit(path, pytest_benchmark={"benchmarks": [{"extra_info": extra, "stats": {"data": [epoch] * 3}}]})
    build(folder)
    report = (folder / "report.md").read_text()
    assert "the shortest epoch time is keras-jax's" in report
    assert {path.name.partition("-")[0] for path in (folder / "figures").iterdir()} == {"epoch_time", "learning"}


def test_figures_of_cells_that_were_lost_do_not_stay_behind(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    build(folder)
    own = folder / "figures" / "mine.svg"
    own.write_text("<svg/>")
    (folder / "cells" / "conv.torch-eager.cpu.b1.json").write_text("{")
    build(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["mine.svg"]


EXTRA = {"phase": "epoch", "warmup_rounds": 0, "steps_per_round": 1, "samples_per_round": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "f" * 16}, "not comparable"),
        ({"data_identity": "synthetic"}, "was measured on synthetic data, the run says genuine"),
        ({"arm": "another"}, "which this run does not have"),
        ({"pytest_benchmark": {"benchmarks": [{"stats": {}}]}}, "rounds in an unknown form (KeyError"),
        ({"pytest_benchmark": {"benchmarks": [{"extra_info": EXTRA, "stats": {"data": [0.0]}}]}}, "of no time"),
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
    assert reason in (folder / "report.md").read_text().partition("## In words")[0]
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
    assert "conv, torch-eager: gradient conv1.kernel: 0.25 > 1e-9" in report.partition("## In words")[0]
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


def test_the_report_side_loads_nothing_of_the_measuring_side() -> None:
    program = "import sys, bench.report, bench.stats; print(*sys.modules)"
    root = Path(__file__).parent.parent
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root
    ).stdout.split()
    measuring = {
        f"bench.{name}" for name in ("runner", "plan", "measure", "implementation", "parity", "workload", "reference")
    }
    assert not measuring & set(loaded)
    assert not {"torch", "tensorflow", "keras", "jax"} & set(loaded)


def test_numbers_keep_three_digits_and_have_no_exponent_where_people_read_them() -> None:
    values = {0.0123456: "0.0123", 1.0: "1.00", 17.06: "17.1", 999.6: "1,000", 7478.9: "7,479", None: "-", 0.0: "0.00"}
    assert {value: number(value) for value in values} == values
    assert number(3.21e-7) == "3.21e-07"


def test_quoting_keeps_plain_names_plain() -> None:
    for plain in ("keras-tensorflow", "conv_only", "2026-01-05T09:30:00Z", "3.15.1", "a > b", "E:\u00e9"):
        assert text(plain) == plain


@pytest.mark.parametrize(
    "value",
    [
        "# h",
        "> q",
        "- l",
        "+ l",
        "1. l",
        "12) l",
        "=== ",
        "a|b",
        "*b*",
        "_b_",
        "`c`",
        "<b>",
        "&amp;",
        "[a](b)",
        "~~s~~",
    ],
)
def test_quoting_shows_exactly_the_characters(value: str) -> None:
    tokens = parse(text(value))
    assert "".join(token.content for token in tokens if token.type in ("text", "text_special")) == value.strip()
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}


def test_code_blocks_cannot_be_closed_from_inside() -> None:
    content = "a\n```\n````\n# b"
    tokens = MarkdownIt().parse(fence(content))
    assert [(token.type, token.content) for token in tokens] == [("fence", content + "\n")]
    assert [token.content for token in parse(code("a `` b")) if token.type == "code_inline"] == ["a `` b"]


def test_one_very_wide_cell_does_not_widen_a_table() -> None:
    lines = table(["a", "b"], [["x", "1"], ["y" * 300, "2"]]).splitlines()
    assert max(map(len, (lines[0], lines[1], lines[2]))) < 20


def test_parity_quantities_are_grouped_by_what_they_are_not_by_tensor() -> None:
    assert family("gradient conv1.kernel") == "gradient"
    assert family("weights after 20 steps gru.recurrent_kernel") == "weights after 20 steps"
    assert family("loss") == "loss"
    assert family("conv1.kernel") == "conv1.kernel"
