import gc
import subprocess
import sys
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from make_book import HEAD, make_book
from make_run import edit, make_run
from read_report import rows

import bench
from bench import derived, record
from bench.errors import UsageError
from bench.report import build, frames
from bench.report.loaded import LoadedRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "run",
        workloads=("conv", "conv_gru"),
        blocks=2,
        rounds=6,
        epochs=2,
        busy=0.2,
        control="torch-eager",
        ceilings=True,
        holes={"keras-torch": "keras is not installed for it"},
    )
    cells = folder / "cells"
    (cells / "conv.keras-jax.cpu.b2.json").unlink()
    (cells / "conv.torch-compile.cpu.b2.json").write_text("{")
    tried = record.Try("killed by SIGKILL", (0.02, 0.03))
    edit(cells / "conv.torch-compile.cpu.b1.json", tries=(tried,))
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedRun:
    return bench.load_run(folder)


def test_a_run_is_its_typed_records(folder: Path, loaded: LoadedRun) -> None:
    assert loaded.run == record.read(folder / "run.json", record.Run)
    assert loaded.cells[0] == record.read(folder / "cells" / f"{loaded.cells[0].id}.json", record.Cell)
    assert len(loaded.cells) == 18
    assert {cell.workload for cell in loaded.ceilings} == {record.CEILING}
    assert all(parity.passed for parity in loaded.parities)
    assert [entry.file for entry in loaded.set_aside] == ["cells/conv.torch-compile.cpu.b2.json"]
    assert [planned.id for planned in loaded.missing] == ["conv.keras-jax.cpu.b2"]


def test_trainings_tests_and_starts_are_frames_with_the_documented_columns(tmp_path: Path) -> None:
    path = make_book(tmp_path / "run", workloads=("conv_only", HEAD), arms=("torch-eager",), seeds=2, starts=5)
    cut = path / "cells" / "conv_only.torch-eager.cpu.s1.json"
    edit(cut, curve=record.read(cut, record.Cell).curve[:3], status="failed", reason="nan", diverged=True, tested=None)
    loaded = bench.load_run(path)
    for name in ("trainings", "tested", "starts"):
        frame, columns = getattr(loaded, name), LoadedRun.columns[name]
        assert list(frame.columns) == list(columns)
        for column, (dtype, about) in columns.items():
            assert frame[column].dtype == pd.Series([], dtype=dtype).dtype
            assert about.startswith("s,") or not column.endswith("_s"), f"{column} has a unit"
    whole, broken, dead, live = (row for _, row in loaded.trainings.iterrows())
    stored = record.read(path / "cells" / f"{whole['cell']}.json", record.Cell)
    assert whole["best"] == min(point.validation["loss"] for point in stored.curve)
    assert whole["train_s"] == pytest.approx(sum(point.train_s for point in stored.curve))  # summed in another order
    assert (broken["ended"], broken["reason"], broken["epochs"]) == ("diverged", "nan", 3)
    assert (dead["dead"], dead["died_after"], live["dead"]) == (1, 0, 0)
    assert pd.isna(live["died_after"])
    tested = loaded.tested[loaded.tested["cell"] == whole["cell"]]
    assert stored.tested is not None
    assert tested["set"].tolist() == ["test", "validation", "validation", "validation"]
    assert tested["value"].tolist()[1:] == [metrics["loss"] for metrics in stored.tested.shuffled]
    assert broken["cell"] not in set(loaded.tested["cell"])
    assert loaded.starts.groupby("initialiser").size().to_dict() == {"shared": 5, "Keras": 5}
    assert (loaded.starts["live"][loaded.starts["state"] == "dead"] == 0).all()


def test_a_run_without_trainings_has_empty_frames_of_them(loaded: LoadedRun) -> None:
    assert loaded.trainings.empty
    assert loaded.tested.empty
    assert loaded.starts.empty


def test_a_path_may_be_text(folder: Path, loaded: LoadedRun) -> None:
    assert bench.load_run(str(folder)).cells == loaded.cells


def test_a_loaded_run_cannot_be_changed(loaded: LoadedRun) -> None:
    with pytest.raises(AttributeError):
        loaded.run = None  # type: ignore[misc, assignment]
    with pytest.raises(AttributeError):
        loaded.cells[0].arm = "another"  # type: ignore[misc]


@pytest.mark.parametrize("table", ["measurements", "curves"])
def test_the_frames_have_the_documented_columns_with_their_types_and_units(loaded: LoadedRun, table: str) -> None:
    frame, columns = getattr(loaded, table), LoadedRun.columns[table]
    assert list(frame.columns) == list(columns)
    assert not frame.empty
    for name, column in columns.items():
        assert frame[name].dtype == pd.Series([], dtype=column.dtype).dtype
        assert column.about
        if name.endswith(("_s", "seconds")) and column.dtype == "float64":
            assert column.about.startswith(("s,", "s ", "samples / s")), f"{name} has a unit"


def test_a_round_in_the_frame_is_the_round_in_the_record(loaded: LoadedRun) -> None:
    found = loaded.measurements[loaded.measurements["status"] == "ok"]
    for cell in (*loaded.cells, *loaded.ceilings):
        for phase in derived.phases(cell).values():
            mine = found[(found["cell"] == cell.id) & (found["phase"] == phase.name)]
            assert tuple(mine["seconds"]) == phase.rounds_s
            assert tuple(mine["start_s"].dropna()) == phase.starts_s
            assert tuple(mine["counted"] == 1) == phase.counted
            assert tuple(mine["tainted"] == 1) == phase.tainted
            assert list(mine["warmup"]) == [int(place < phase.warmup_rounds) for place in range(len(mine))]
            assert list(mine["round"]) == list(range(1, len(mine) + 1))
            assert list(mine["step_time_s"]) == [seconds / phase.steps_per_round for seconds in phase.rounds_s]
            speeds = [phase.samples_per_round / seconds for seconds in phase.rounds_s]
            assert list(mine["throughput_samples_per_s"]) == speeds
    assert len(found) == sum(
        len(p.rounds_s) for c in (*loaded.cells, *loaded.ceilings) for p in derived.phases(c).values()
    )


def test_a_point_in_the_frame_is_the_point_in_the_record(loaded: LoadedRun) -> None:
    expected = [
        (cell.id, point.epoch, split, metric, value, point.train_s, point.validate_s)
        for cell in loaded.cells
        for point in cell.curve
        for split, metrics in (("train", point.train), ("validation", point.validation))
        for metric, value in metrics.items()
    ]
    columns = ["cell", "epoch", "split", "metric", "value", "train_s", "validate_s"]
    assert list(loaded.curves[columns].itertuples(index=False, name=None)) == expected


def test_what_was_not_measured_is_a_row_without_figures(loaded: LoadedRun) -> None:
    frame = loaded.measurements.set_index("cell")
    assert frame.loc["conv.keras-jax.cpu.b2", ["status", "reason"]].to_list() == ["missing", "planned, not measured"]
    assert frame.loc["conv.torch-compile.cpu.b2", "status"] == "unreadable"
    earlier = frame[frame["status"] == "earlier try"]
    assert earlier["seconds"].to_list() == [0.02, 0.03]
    assert earlier["warmup"].isna().all()
    assert earlier["steps"].to_list() == [1, 1]
    empty = frame.loc[["conv.keras-jax.cpu.b2", "conv.torch-compile.cpu.b2"]]
    assert empty[["round", "warmup", "tainted", "counted", "seconds", "steps", "step_time_s"]].isna().all(axis=None)


def test_the_csv_files_of_a_report_are_these_frames(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=2, rounds=3, epochs=2)
    build(folder)
    for name in ("measurements", "curves"):
        frame = getattr(bench.load_run(folder), name)
        assert (folder / f"{name}.csv").read_bytes() == frames.to_csv(frame)
        assert len(rows(folder / f"{name}.csv")) == len(frame)


@pytest.mark.parametrize("enabled", [True, False])
def test_loading_leaves_the_garbage_collector_as_it_was(folder: Path, tmp_path: Path, enabled: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        bench.load_run(folder)
        assert gc.isenabled() == enabled
        with pytest.raises(UsageError):
            bench.load_run(tmp_path)
        assert gc.isenabled() == enabled
        assert gc.get_freeze_count() == 0
    finally:
        (gc.enable if was else gc.disable)()


def test_nothing_is_written_by_loading(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    before = sorted(folder.rglob("*"))
    bench.load_run(folder)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["", "nowhere", "run.json"])
def test_a_bad_path_is_one_line_that_names_the_file(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"run\.json: cannot be read \(.*\); expected a Run record") as error:
        bench.load_run((folder / name) if name else folder.parent)
    assert "\n" not in str(error.value)


def test_a_record_of_another_schema_is_told_by_its_schema_not_by_its_fields(folder: Path, tmp_path: Path) -> None:
    """Also where it has fields that this one does not know."""
    run = msgspec.json.decode((folder / "run.json").read_bytes())
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(run | {"schema": record.SCHEMA + 1, "new": 1}))
    with pytest.raises(UsageError, match=rf"result schema {record.SCHEMA + 1}; this bench reads schemas 1 to"):
        bench.load_run(tmp_path)


def test_importing_bench_imports_neither_pandas_nor_matplotlib() -> None:
    script = "import sys, bench; bench.load_run; print({'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
