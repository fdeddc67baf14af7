import re
import statistics
from pathlib import Path

import msgspec
import pytest
from make_run import edit, make_run
from read_report import rows, section, tables

from bench import record
from bench.report import build
from bench.report.contamination import words

ARMS = ("torch-eager", "keras-jax")
COUNTER = "RAPL of the package"


def report(folder: Path) -> str:
    build(folder)
    return (folder / "report.md").read_text()


def column(table: list[list[str]], name: str) -> dict[str, str]:
    """By what stands in the first column."""
    return {row[0]: row[table[0].index(name)] for row in table[1:]}


def cells(folder: Path, pattern: str) -> list[record.Cell]:
    return [record.read(path, record.Cell) for path in sorted((folder / "cells").glob(pattern))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make_run(
        folder, workloads=("conv",), arms=ARMS, blocks=4, rounds=20, control=ARMS[0], ceilings=True, counter=COUNTER
    )


def first_result_s(cell: record.Cell) -> float:
    names = {"interpreter", "data", "import", "build", "stage", "first_step"}
    return sum(span.end_s - span.start_s for span in cell.ledger if span.name in names)


def test_the_time_to_first_result_stands_beside_the_throughput(run: Path) -> None:
    steps = next(found for found in tables(report(run)) if "samples/s" in found[0])
    for arm in ARMS:
        cold, *warm = map(first_result_s, cells(run, f"conv.{arm}.cpu.b?.json"))
        assert float(column(steps, "to first result cold s")[arm]) == pytest.approx(cold, abs=0.005), "three digits"
        assert float(column(steps, "warm s")[arm]) == pytest.approx(statistics.median(warm), abs=0.005), "three digits"


def test_the_parts_of_a_cells_time_are_shown_and_sum_to_its_wall_time(run: Path) -> None:
    first, later = (found for found in tables(report(run)) if found[0][0] == "part")
    for arm in ARMS:
        shown = column(first, arm)
        (cell,) = cells(run, f"conv.{arm}.cpu.b1.json")
        parts = [float(value) for name, value in shown.items() if name not in ("wall", "explained")]
        assert sum(parts) == pytest.approx(cell.wall_s, abs=0.01 + 0.005 * len(parts)), "each is rounded to 0.01 s"
        assert float(shown["wall"]) == pytest.approx(cell.wall_s, abs=0.005)
        assert column(later, arm)["epoch"].endswith(" (1)"), "one of three later blocks trained an epoch"
        assert "checks" not in column(later, arm), "what no cell did is left out"


def test_time_that_no_part_explains_is_told_above_the_figures(run: Path, tmp_path: Path) -> None:
    assert "**Time unaccounted for**" not in report(run)
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    (cell,) = cells(folder, "conv.torch-eager.cpu.b1.json")
    edit(folder / "cells" / f"{cell.id}.json", wall_s=cell.wall_s / 0.9)
    top = report(folder).partition("## In words")[0]
    assert re.search(r"Time unaccounted for.*\n  - conv.torch-eager.cpu.b1: 8\d\.\d % explained", top)


def test_disturbed_rounds_are_told_at_the_top_and_listed_cell_by_cell(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=5, rounds=30, busy=0.15)
    page = report(folder)
    found = rows(folder / "measurements.csv")
    tainted = [r for r in found if r["tainted"] == "1"]
    assert f"**Disturbed**: while {len(tainted)} of {len(found)} rounds ran, something else" in page
    mostly = "**Disturbed and counted**: most rounds of these were disturbed, so that all of them count:"
    assert re.search(rf"{re.escape(mostly)}\n(?:.*\n)*?  - conv, keras-jax: .*train_step in block 4", page)
    listed = next(table for table in tables(page) if table[0][:3] == ["cell", "phase", "by"])
    assert {(*row[:2], *row[3:5]) for row in listed[1:]} == {
        (
            r["cell"],
            r["phase"],
            str(sum((t["cell"], t["phase"]) == (r["cell"], r["phase"]) for t in tainted)),
            str(sum((t["cell"], t["phase"]) == (r["cell"], r["phase"]) for t in found)),
        )
        for r in tainted
    }


def test_an_undisturbed_run_says_nothing_of_disturbances(run: Path) -> None:
    assert "isturb" not in report(run)


def test_reasons_that_differ_in_their_figures_only_are_told_as_one() -> None:
    reasons = ["other processes used 0.62 of a core", "12 pages were swapped", "other processes used 0.31 of a core"]
    assert words(reasons) == "other processes used 0.31 to 0.62 of a core; 12 pages were swapped"
    assert words(["stalled for 12%", "stalled for 7%"]) == "stalled for 7 to 12%"
    assert words(["mask 0x20", "mask 0x40", "v1.2.3"]) == "mask 0x20; mask 0x40; v1.2.3"


def test_rounds_that_never_settle_are_told(run: Path, tmp_path: Path) -> None:
    assert "**Not settled**" not in report(run)
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=2, rounds=30)
    (cell,) = cells(folder, "conv.torch-eager.cpu.b2.json")
    raw = msgspec.to_builtins(cell.pytest_benchmark)
    step = next(entry for entry in raw["benchmarks"] if entry["extra_info"]["phase"] == "train_step")
    step["stats"]["data"] = step["stats"]["data"][:24] + [1.3 * s for s in step["stats"]["data"][24:]]
    edit(folder / "cells" / f"{cell.id}.json", pytest_benchmark=raw)
    assert re.search(r"\*\*Not settled\*\*.*\n  - conv, torch-eager: block 2\n", report(folder))


def test_resources_are_those_of_the_records_each_with_its_source(run: Path) -> None:
    page = section(report(run), "### Resources and cause")
    (found,) = tables(page)
    eager = cells(run, "conv.torch-eager.cpu.b?.json")
    joules = statistics.median(each.joules / each.steps for cell in eager for each in cell.energy)  # type: ignore[operator]
    assert float(column(found, "J/step")["torch-eager"]) == pytest.approx(joules, rel=0.006), "three digits"
    assert f"J/step: {COUNTER}, difference over the rounds of train" in page.replace("\\", "")
    (ceiling,) = cells(run, "ceiling.torch-eager.*")
    best = 2 * 1024**3 / min(record.phases(ceiling)["ceiling"].rounds_s) / 1e9
    assert float(column(found, "ceiling GFLOP/s")["torch-eager"]) == pytest.approx(best, abs=0.5), "three digits"
    reached = float(column(found, "GFLOP/s")["torch-eager"])
    assert float(column(found, "share")["torch-eager"].rstrip(" %")) == pytest.approx(100 * reached / best, abs=0.6)
    assert "torch 1,024 x 1,024" in page
    for said in ("torch-eager: **overhead-bound**. A step takes ", "keras-jax: **input-bound**. In an epoch a step "):
        assert said in page


def test_device_memory_stands_there_by_allocator_and_by_process(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    path = folder / "cells" / "conv.torch-eager.cpu.b1.json"
    edit(path, device_peak_memory_bytes=3 * 2**20, device_process_peak_memory_bytes=500 * 2**20)
    (found,) = tables(section(report(folder), "### Resources and cause"))
    assert column(found, "device peak MiB, allocator") == {"torch-eager": "3.00", "keras-jax": "-"}
    assert column(found, "process") == {"torch-eager": "500", "keras-jax": "-"}


def test_energy_that_was_not_read_is_unavailable_with_the_reason_and_never_a_number(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    page = section(report(folder), "### Resources and cause")
    assert set(column(tables(page)[0], "J/step").values()) == {"unavailable"}
    assert "Energy unavailable (all arms): RAPL: no RAPL here (virtual machine?)." in page


def test_ceiling_cells_are_neither_set_aside_nor_compared(run: Path) -> None:
    page = report(run)
    assert "set aside" not in page
    assert "## ceiling" not in page
    assert [r["cell"] for r in rows(run / "measurements.csv") if r["phase"] == "ceiling" and r["round"] == "1"] == [
        "ceiling.torch-eager.cpu.b0",
        "ceiling.keras-jax.cpu.b0",
    ]


def test_a_failed_ceiling_is_told_and_leaves_the_share_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5, ceilings=True)
    edit(folder / "cells" / "ceiling.torch-eager.cpu.b0.json", status="failed", reason="killed by SIGSEGV")
    page = report(folder)
    assert "  - ceiling, torch-eager: killed by SIGSEGV" in page.partition("## In words")[0]
    (found,) = tables(section(page, "### Resources and cause"))
    assert column(found, "share")["torch-eager"] == "-"
    assert column(found, "share")["keras-jax"].endswith(" %")


def test_how_earlier_tries_of_a_cell_ended_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    edit(folder / "cells" / "conv.torch-eager.cpu.b1.json", tries=("killed by SIGKILL",))
    assert "  - conv.torch-eager.cpu.b1: an earlier try was killed by SIGKILL" in report(folder)


def test_a_run_of_schema_1_is_reported_with_its_own_warm_up_and_without_what_it_does_not_know(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "old", workloads=("conv",), arms=ARMS, blocks=2, rounds=20, schema=1)
    page = report(folder)
    steps = next(found for found in tables(page) if "samples/s" in found[0])
    assert set(column(steps, "warm-up rounds").values()) == {"3"}
    assert set(column(steps, "to first result cold s").values()) == {"-"}
    assert "Where the time goes" not in page
    assert "Energy unavailable: these records hold no reading of it." in page
    assert "keras-jax is FASTER than torch-eager" in page
    assert "result schema 1" in page
    found = rows(folder / "measurements.csv")
    assert {(r["label"], r["tainted"], r["start_s"]) for r in found} == {("", "0", "")}
    assert {r["counted"] for r in found if r["phase"] == "train_step" and r["round"] in ("1", "2", "3")} == {"0"}
