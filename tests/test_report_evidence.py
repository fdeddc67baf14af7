import re
import statistics
from pathlib import Path

import msgspec
import pytest
from make_run import edit, make_run
from read_report import notices, rows, section, tables

from bench import derived, record
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
    top = notices(report(folder))
    assert re.search(r"Time unaccounted for.*\n  - conv.torch-eager.cpu.b1: 8\d\.\d % explained", top)


def test_disturbed_rounds_are_told_at_the_top_and_listed_cell_by_cell(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=5, rounds=30, busy=0.15)
    page = report(folder)
    found = rows(folder / "measurements.csv")
    tainted = [r for r in found if r["tainted"] == "1"]
    assert f"**Disturbed**: while {len(tainted)} of {len(found)} rounds ran, something else" in page
    counting = [r for r in tainted if r["counted"] == "1"]
    assert {r["phase"] for r in counting} > {"train_step", "first_step"}, "or nothing is shown of phases of one round"
    again = sum(
        len(entry["stats"]["data"])
        for cell in cells(folder, "*.json")
        for number, entry in enumerate(
            entry for entry in cell.pytest_benchmark["benchmarks"] if entry["extra_info"]["phase"] == "train_step"
        )
        if number > 0
    )
    assert 0 < again < len(tainted)
    left_out = len(tainted) - len(counting)
    assert (
        f"{left_out} of them do not count; {len(counting)} of them count, because most of the phase "
        f"was disturbed (the next notice); {again} rounds of train_step were measured again:"
    ) in page.replace("\\", "")
    mostly = "**Disturbed and counted**: most rounds of these were disturbed, so that disturbed ones count too:"
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


def test_rounds_that_count_although_disturbed_are_not_said_to_be_left_out_or_measured_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    (cell,) = cells(folder, "conv.torch-eager.cpu.b1.json")
    begin_s = derived.phases(cell)["epoch"].starts_s[0]
    window = record.Window(begin_s + 1e-3, begin_s + 2e-3, {}, ("12 pages were swapped",))
    edit(folder / "cells" / f"{cell.id}.json", watch=(*cell.watch, window))
    top = notices(report(folder))
    assert "they are marked. 1 of them counts, because most of the phase was disturbed (the next notice):\n" in top
    assert "measured again" not in top
    edit(folder / "cells" / f"{cell.id}.json", status="failed", reason="killed by SIGSEGV")
    top = notices(report(folder))
    assert "they are marked. 1 of them does not count:\n" in top, "nothing of a failed cell does"
    assert "**Disturbed and counted**" not in top


def test_an_undisturbed_run_says_so_below_and_nothing_above(run: Path) -> None:
    page = report(run)
    assert "No round was disturbed." in section(page, "## Disturbances")
    assert "no round disturbed" in page.partition("## In words")[0]
    assert page.count("isturb") == 3


def test_what_went_on_before_and_after_cells_is_told_and_listed(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    for cell, place, pages in (("torch-eager", 0, 12), ("torch-eager", -1, 40), ("keras-jax", -1, 15)):
        path = folder / "cells" / f"conv.{cell}.cpu.b1.json"
        watch = list(record.read(path, record.Cell).watch)
        watch[place] = msgspec.structs.replace(watch[place], taints=(f"{pages} pages were swapped",))
        edit(path, watch=tuple(watch))
    page = report(folder)
    assert (
        "- **Before or after a cell**: something else was going on before 1 and after 2 of 2 cells, when none of their "
        "rounds ran: 12 to 40 pages were swapped.\n"
    ) in notices(page)
    assert "**Disturbed**" not in page, "no round is concerned"
    listed = next(table for table in tables(section(page, "## Disturbances")) if table[0] == ["cell", "when", "by"])
    assert listed[1:] == [
        ["conv.torch-eager.cpu.b1", "before", "12 pages were swapped"],
        ["conv.torch-eager.cpu.b1", "after", "40 pages were swapped"],
        ["conv.keras-jax.cpu.b1", "after", "15 pages were swapped"],
    ]


def test_frequencies_of_each_arm_are_shown_where_they_could_be_read(run: Path, tmp_path: Path) -> None:
    shown = column(tables(section(report(run), "## Disturbances"))[0], "processor GHz")
    for arm in ARMS:
        seen = [w.readings["frequency_hz"] / 1e9 for cell in cells(run, f"conv.{arm}.*") for w in cell.watch]
        assert min(seen) < max(seen)
        assert shown[arm] == f"{min(seen):.2f} to {max(seen):.2f}"
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    for cell in cells(folder, "*.json"):
        watch = tuple(msgspec.structs.replace(window, readings={}) for window in cell.watch)
        edit(folder / "cells" / f"{cell.id}.json", watch=watch)
    assert section(report(folder), "## Disturbances").endswith("Not readable here: frequency of the processor.\n")


def test_clock_heat_and_power_of_a_gpu_are_shown(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS[:1], blocks=1, rounds=5)
    (cell,) = cells(folder, "*.json")
    hot = ({"gpu_clock_hz": 1.98e9, "gpu_temperature_c": 41.0}, {"gpu_clock_hz": 1.41e9, "gpu_temperature_c": 83.0})
    watch = tuple(record.Window(number, number + 1, readings) for number, readings in enumerate(hot))
    edit(folder / "cells" / f"{cell.id}.json", device="gpu", watch=watch)
    page = section(report(folder), "## Disturbances")
    (found,) = tables(page)
    assert found == [["arm", "GPU MHz", "GPU °C"], ["torch-eager", "1,410 to 1,980", "41.0 to 83.0"]]
    assert "Not readable here: frequency of the processor, power of the GPU." in page


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
    best = 2 * 1024**3 / min(derived.phases(ceiling)["ceiling"].rounds_s) / 1e9
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
    assert "  - ceiling, torch-eager: killed by SIGSEGV" in notices(page)
    (found,) = tables(section(page, "### Resources and cause"))
    assert column(found, "share")["torch-eager"] == "-"
    assert column(found, "share")["keras-jax"].endswith(" %")


def test_how_earlier_tries_of_a_cell_ended_and_what_they_measured_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    killed, disturbed = "killed by SIGKILL during train_step", "disturbed in 2 of 3 rounds: 40 pages were swapped"
    edit(folder / "cells" / "conv.torch-eager.cpu.b1.json", tries=(record.Try(killed),))
    rounds_s = (0.0401, 0.0403, 0.0402)
    edit(folder / "cells" / "conv.keras-jax.cpu.b1.json", tries=(record.Try(disturbed, rounds_s),))
    top = notices(report(folder))
    assert "**Tried again**: the first try of these cells was killed or disturbed and does not count:\n" in top
    assert f"  - conv.torch-eager.cpu.b1: an earlier try was {killed}\n" in top.replace("\\", "")
    (cell,) = cells(folder, "conv.keras-jax.cpu.b1.json")
    counts_s = derived.step_s(cell)
    assert counts_s is not None
    assert (
        f"  - conv.keras-jax.cpu.b1: an earlier try was {disturbed}; 3 rounds of it are kept in the record, with a "
        f"median step time of 40.2 ms, {counts_s * 1e3:.1f} ms in the one that counts\n"
    ) in top.replace("\\", "")


def test_rounds_of_earlier_tries_are_rows_that_enter_no_figure(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    in_words = section(report(folder), "## In words")
    before = rows(folder / "measurements.csv")
    name = "conv.torch-eager.cpu.b1"
    edit(folder / "cells" / f"{name}.json", tries=(record.Try("killed by SIGKILL", (9.0, 8.0)),))
    assert section(report(folder), "## In words") == in_words
    after = rows(folder / "measurements.csv")
    assert [row for row in after if row["status"] != "earlier try"] == before
    earlier = [row for row in after if row["status"] == "earlier try"]
    assert [(r["cell"], r["phase"], r["round"], float(r["seconds"]), r["counted"], r["reason"]) for r in earlier] == [
        (name, "train_step", "1", 9.0, "0", "killed by SIGKILL"),
        (name, "train_step", "2", 8.0, "0", "killed by SIGKILL"),
    ]
    assert {(r["step_time_s"], r["samples"]) for r in earlier} == {("9.0", "128"), ("8.0", "128")}
    assert {(r["start_s"], r["warmup"], r["tainted"]) for r in earlier} == {("", "", "")}, "these are not recorded"


def test_a_measurement_that_is_missing_beside_a_whole_cell_is_told(run: Path, tmp_path: Path) -> None:
    assert "**Beside the planned phases**" not in report(run)
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    why = "small_step: RuntimeError: no such shape"
    edit(folder / "cells" / "conv.torch-eager.cpu.b1.json", beside=why)
    top = notices(report(folder)).replace("\\", "")
    assert re.search(rf"\*\*Beside the planned phases\*\* .*:\n  - conv.torch-eager.cpu.b1: {why}\n", top)


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


def test_a_cause_that_rests_on_rounds_counted_although_disturbed_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=5)
    assert "with caution" not in section(report(folder), "### Resources and cause")
    (cell,) = cells(folder, "conv.torch-eager.cpu.b1.json")
    begin_s = derived.phases(cell)["epoch"].starts_s[0]
    window = record.Window(begin_s + 1e-3, begin_s + 2e-3, {}, ("12 pages were swapped",))
    edit(folder / "cells" / f"{cell.id}.json", watch=(*cell.watch, window))
    assert "with caution: most rounds behind it were disturbed" in section(report(folder), "### Resources and cause")


def test_pairs_without_any_interval_are_one_line_and_no_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=ARMS, blocks=1, rounds=5)
    page = report(folder)
    assert "No pair by its step time: one block gives no interval, so no verdict." in page
    assert "Every pair by its" not in page
