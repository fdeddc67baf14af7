"""`bench report FOLDER` over many runs: the index page, its trends and its table, and what is left out of it."""

import math
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import harness
import pytest
from make_history import MACHINE, make_history
from make_run import edit, make_run
from read_report import headings, rows, section, tables

from bench import record
from bench.cli import main
from bench.errors import UsageError
from bench.report import index, shelf

STEP = [1.0, 1.0, 1.0, {"torch-eager": 1.2}, {"torch-eager": 1.2}, 1.0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs: an arm is slower in the fourth and the fifth. Tests that change something make their own."""
    folder = tmp_path_factory.mktemp("results")
    make_history(folder, STEP)
    index.build(folder)
    return folder


def page(folder: Path) -> str:
    return (folder / "index.md").read_text()


def test_the_index_has_changes_then_machines_with_their_trends_then_every_run(kept: Path) -> None:
    assert headings(page(kept)) == [
        "# Runs", "## Changes", "## Machine 1", "### conv_only on cpu, machine 1", "## Runs",
    ]  # fmt: skip
    assert "6 runs on 1 machine, started 2026-01-05T09:30:00Z to 2026-01-10T09:30:00Z." in page(kept)
    assert "Simulated CPU @ 2 GHz, 8 cores (CPU budget 8), 16.0 GiB, GPU none: 6 runs." in page(kept)


def test_a_confirmed_change_is_named_with_its_runs_and_what_else_differs(kept: Path) -> None:
    header, row = tables(section(page(kept), "## Changes"))[0]
    named = dict(zip(header, row, strict=True))
    assert (named["arm"], named["since run"], named["confirmed by"]) == ("torch-eager", "run-03", "run-04")
    assert named["time after / before"].startswith("1.200 [")
    assert float(named["after, ms"]) == pytest.approx(1.2 * float(named["before, ms"]), rel=0.01)  # of 3 digits
    assert "run-03 after run-02: 1 of 2 arms; commit 2000000000000000000… → 3000000000000000000….\n" in page(kept)
    assert "To be confirmed by the next run:\n\n- conv_only on cpu, machine 1: torch-eager, 0.833 times" in page(kept)


def test_the_csv_has_every_point_of_the_trend_and_the_figure_is_whole(kept: Path) -> None:
    found = rows(kept / "trends/machine-1-conv_only-cpu.csv")
    states = [row["state"] for row in found if row["arm"] == "torch-eager"]
    assert states == ["level", "level", "level", "changed", "changed", "to be confirmed"]
    unchanged = [row for row in found if row["arm"] == "torch-compile"]
    assert {row["state"] for row in unchanged} == {"level"}
    level_s = math.exp(math.fsum(math.log(float(row["step_s"])) for row in unchanged) / len(unchanged))
    assert [float(row["level_s"]) for row in unchanged] == [
        pytest.approx(level_s, rel=1e-12)
    ] * 6  # sums differ in order
    for row in found:
        assert float(row["low_s"]) < float(row["step_s"]) < float(row["high_s"])
        assert (row["blocks"], row["device"], row["workload"]) == ("6", "cpu", "conv_only")
    assert found[1]["commit"] == "1" + "0" * 39
    svg = (kept / "trends/machine-1-conv_only-cpu.svg").read_bytes()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "](trends/machine-1-conv_only-cpu.svg)" in page(kept)


def test_every_run_is_in_the_table_the_newest_first_with_what_it_says(kept: Path) -> None:
    header, *found = tables(section(page(kept), "## Runs"))[0]
    assert [row[0] for row in found] == [f"run-0{day}" for day in (5, 4, 3, 2, 1, 0)]
    named = dict(zip(header, found[0], strict=True))
    assert named == {
        "run": "run-05", "started": "2026-01-10T09:30:00Z", "commit": "5000000", "device": "cpu", "machine": "1",
        "profile": "quick", "data": "synthetic", "cells measured": "12 of 12",
        "shortest step time": "conv_only: torch-compile FASTER than torch-eager",
    }  # fmt: skip


def test_the_html_page_holds_its_figures_and_links_to_the_reports_that_are_there(tmp_path: Path) -> None:
    runs = make_history(tmp_path / "res ults", [1.0, 1.0, 1.0], blocks=2)
    odd = runs[0].rename(runs[0].parent / "a (b) <c> #1 ü")
    (odd / "report.html").write_text("<p>here")
    (runs[1] / "report.md").write_text("here")
    index.build(odd.parent)
    html = (odd.parent / "index.html").read_text()
    links = re.findall(r'href="([^"]*/report[^"]*)"', html)
    assert links == ["run-01/report.md", "a%20%28b%29%20%3Cc%3E%20%231%20%C3%BC/report.html"]
    assert html.count("data:image/svg+xml;base64,") == 1
    assert "<h1>Runs</h1>" in html


def test_the_same_runs_give_the_same_bytes_and_no_run_is_touched(kept: Path) -> None:
    runs = {path: path.read_bytes() for path in kept.glob("run-*/**/*") if path.is_file()}
    before = {path: path.read_bytes() for path in index.build(kept)}
    assert {path: path.read_bytes() for path in index.build(kept)} == before
    assert set(before) == {*kept.glob("*.*"), *kept.glob("trends/*")}
    assert {path: path.read_bytes() for path in kept.glob("run-*/**/*") if path.is_file()} == runs


def test_runs_that_cannot_be_read_are_listed_with_the_reason(tmp_path: Path) -> None:
    runs = make_history(tmp_path, [1.0, 1.0, 1.0, 1.0], blocks=2)
    (runs[1] / "run.json").write_text("{")
    content = (runs[2] / "run.json").read_text()
    (runs[2] / "run.json").write_text(content.replace(f'"schema": {record.SCHEMA}', '"schema": 99'))
    (tmp_path / "notes").mkdir()
    (tmp_path / "a file").write_text("no run")
    index.build(tmp_path)
    left = section(page(tmp_path), "## Left out")
    assert re.search(r"^- run-01: run\.json: not a whole Run record \(.*\); restore it from a copy: .*$", left, re.M)
    assert "- run-02: run.json: result schema 99; this bench reads schemas 1 to " in left
    assert "notes" not in page(tmp_path)
    assert "2 runs on 1 machine" in page(tmp_path)
    assert "2 left out, with the reason below." in page(tmp_path)
    assert str(tmp_path) not in page(tmp_path)


def test_a_folder_that_may_not_be_entered_is_listed_and_does_not_stop_the_others(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody else in
        Path(folder).chmod(0o755)
        runs = make_history(Path(folder), [1.0, 1.0], blocks=2)
        with harness.kept_out_of(runs[1]):
            listed, left_out = shelf.read(Path(folder))
    assert [run.folder for run in listed] == ["run-00"]
    assert [each.folder for each in left_out] == ["run-01"]
    assert left_out[0].reason.startswith("run.json: cannot be read (Permission denied)")


def test_a_copy_of_a_run_counts_once_and_confirms_nothing(tmp_path: Path) -> None:
    runs = make_history(tmp_path, [1.0, 1.0, 1.3, 1.3])
    edit(runs[3] / "run.json", id="run-02")
    index.build(tmp_path)
    assert "- run-03: is run run-02 again, as in run-02; counts once" in page(tmp_path)
    assert "No step time has changed for good, in 1 series of two runs or more." in page(tmp_path)
    assert "torch-compile, 1.30 times its level in run-02" in page(tmp_path)


def test_all_arms_at_once_are_said_to_look_like_the_machine(tmp_path: Path) -> None:
    make_history(tmp_path, [1.0, 1.0, 1.3, 1.3])
    index.build(tmp_path)
    assert "2 of 2 arms, all the same way, as when the machine has changed; commit" in page(tmp_path)


def test_what_is_less_than_whole_is_said_in_the_table(tmp_path: Path) -> None:
    run = make_history(tmp_path, [1.0], blocks=2)[0]
    cells = sorted((run / "cells").glob("*torch-eager*"))
    edit(cells[0], status="failed", reason="killed by SIGSEGV")
    cells[1].write_text("{")
    edit(run / "run.json", finished=None)
    index.build(tmp_path)
    header, row = tables(section(page(tmp_path), "## Runs"))[0]
    assert row[header.index("cells measured")] == "2 of 4, 1 failed, 1 set aside, not finished"
    assert row[header.index("shortest step time")] == "conv_only: torch-compile, with none beside it"
    assert "No two runs here can be compared: a trend begins with the second run of a machine." in page(tmp_path)
    assert not (tmp_path / "trends").exists()


def test_runs_of_one_block_have_a_trend_without_intervals_and_no_level(tmp_path: Path) -> None:
    make_history(tmp_path, [1.0, 2.0, 2.0], blocks=1)
    index.build(tmp_path)
    assert "No step time has changed for good" in page(tmp_path)
    found = rows(tmp_path / "trends/machine-1-conv_only-cpu.csv")
    assert {(row["low_s"], row["high_s"], row["level_s"], row["state"]) for row in found} == {
        ("", "", "", "unresolved")
    }
    assert "(no interval)" in page(tmp_path)


def test_a_run_without_any_figure_and_one_without_a_workload_are_in_the_table(tmp_path: Path) -> None:
    runs = make_history(tmp_path, [1.0, 1.0], blocks=2)
    for path in (runs[0] / "cells").glob("*"):
        path.unlink()
    empty = record.read(runs[1] / "run.json", record.Run)
    edit(runs[1] / "run.json", workloads={}, plan=())
    assert empty.workloads
    index.build(tmp_path)
    header, *found = tables(section(page(tmp_path), "## Runs"))[0]
    assert [row[header.index("shortest step time")] for row in found] == ["", "conv_only: no step time"]


def test_trends_of_runs_that_are_gone_are_swept_away_and_nothing_else_is(tmp_path: Path) -> None:
    runs = make_history(tmp_path, [1.0, 1.0], blocks=2)
    index.build(tmp_path)
    (tmp_path / "trends/notes.txt").write_text("mine")
    (runs[1] / "run.json").unlink()
    index.build(tmp_path)
    assert [path.name for path in (tmp_path / "trends").iterdir()] == ["notes.txt"]


def test_series_of_one_name_are_told_apart_in_headings_and_files(tmp_path: Path) -> None:
    runs = make_history(tmp_path, [1.0] * 4, blocks=2)
    for run in runs[2:]:
        stored = record.read(run / "run.json", record.Run)
        edit(run / "run.json", environment=stored.environment, schema=1)
    index.build(tmp_path)
    assert "### conv_only on cpu, machine 1, series 2" in page(tmp_path)
    assert {path.name for path in (tmp_path / "trends").iterdir()} == {
        f"machine-1-conv_only-cpu{again}.{kind}" for again in ("", "-2") for kind in ("svg", "csv")
    }


def test_the_page_cannot_be_broken_by_what_a_record_says(tmp_path: Path) -> None:
    hostile = "=x|y\n# heading \x1b[31m <script>`$a$ \u202e" + "long " * 60
    runs = make_history(tmp_path, [1.0, 1.0, 1.3, 1.3], rename={"torch-eager": hostile})
    for number, run in enumerate(runs):
        environment = MACHINE | {"cpu": hostile, "git": {"commit": hostile, "dirty": True}, "kernel": hostile * number}
        edit(run / "run.json", id=f"{number} {hostile}", device=hostile, profile=hostile, environment=environment)
    runs[0].rename(tmp_path / "=x y <script>")
    index.build(tmp_path)
    for name in ("index.md", "index.html"):
        content = (tmp_path / name).read_text()
        assert not any(bad in content for bad in ("\x1b", "\u202e", "<script>`", "\n# heading"))
    assert headings(page(tmp_path))[:3] == ["# Runs", "## Changes", "## Machine 1"]
    (csv,) = (tmp_path / "trends").glob("*.csv")
    assert all(row["arm"].startswith(("'=x", "torch-compile")) for row in rows(csv))


def test_from_the_command_line(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    make_history(tmp_path / "results", [1.0, 1.0], blocks=2)
    assert main(["report", "results"]) == 0
    printed = capsys.readouterr().out.split()
    assert printed == [f"results/{name}" for name in (
        "index.html", "index.md", "trends/machine-1-conv_only-cpu.csv", "trends/machine-1-conv_only-cpu.svg",
    )]  # fmt: skip
    assert not (tmp_path / "results/run-00/report.md").exists()
    assert main(["report", "results", "--stream"]) == 2
    assert capsys.readouterr().err == "bench: --stream: hands out one run; name one of those in results\n"
    assert main(["report", "run-00"]) == 0  # an id is an id
    assert (tmp_path / "results/run-00/report.md").exists()


def test_a_folder_without_any_run_is_one_clear_line(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "results/none").mkdir(parents=True)
    assert main(["report", str(tmp_path / "results")]) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"bench: \S+/results: neither a run nor a folder of runs \(.*\); name [^\n]+\n", printed.err)
    assert list((tmp_path / "results").iterdir()) == [tmp_path / "results/none"]


def test_a_folder_that_cannot_be_read_or_written_is_one_clear_line(tmp_path: Path) -> None:
    make_history(tmp_path, [1.0, 1.0], blocks=2)
    with harness.kept_out_of(tmp_path), pytest.raises(UsageError, match="cannot be read") as caught:
        index.build(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "index.md").mkdir()
    with pytest.raises(UsageError, match="the index cannot be written there"):
        index.build(tmp_path)


def test_a_folder_that_is_a_run_is_reported_as_one_and_no_folder_is_no_index(tmp_path: Path) -> None:
    make_run(tmp_path / "run", workloads=("conv_only",), arms=("torch-eager",), blocks=1, rounds=9)
    assert not index.asked(str(tmp_path / "run"), Path("results"))
    assert index.asked(str(tmp_path), Path("results"))
    assert not index.asked(str(tmp_path / "nothing"), Path("results"))
