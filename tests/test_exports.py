import json
import math
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from export_forms import ACTION, BENCHMARK, MARK, events, junit
from make_run import edit, make_run

from bench import cli, derived, record, stats
from bench.errors import UsageError
from bench.report import exports, frames
from bench.report.folder import load

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = (
    "=cmd|'/C calc'!A0\n]]> <script>alert(1)</script> &lt; \" ' \u202e\x1b[31m\x00\ufffe\uffff\u05d0 "
    + MARK
    + '{"key": 1} '
    + "long " * 200
)
ID = HOSTILE.replace("\x00", "").replace("/", "")[:150]
"""As much of it as a file can be called: a record is named by its id."""
MACHINE = {"python_implementation": "CPython", "python_version": "3.11.7"}
"""As a real cell has it."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An A/A control, disturbed rounds, ceilings, a hole; a failed, an unreadable, a missing cell and a stray file."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "plain",
        workloads=("conv", "conv_gru"),
        blocks=3,
        rounds=8,
        busy=0.2,
        control="torch-eager",
        ceilings=True,
        holes={"keras-torch": "keras is not installed for it"},
    )
    cells = folder / "cells"
    told = record.read(cells / "conv.keras-jax.cpu.b1.json", record.Cell).pytest_benchmark
    edit(cells / "conv.keras-jax.cpu.b1.json", pytest_benchmark=told | {"machine_info": MACHINE})
    edit(cells / "conv.keras-jax.cpu.b2.json", status="failed", reason="train_step: boom", output_tail="one\ntwo\n")
    edit(cells / "conv.keras-jax.cpu.b3.json", status="hole", reason="out of memory on the device")
    (cells / "conv.torch-compile.cpu.b3.json").write_text("{")
    (cells / "conv_gru.torch-compile.cpu.b3.json").unlink()
    (cells / "stray.json").write_text("[]")
    edit(folder / "parity" / "conv_gru.keras-jax.cpu.json", passed=False, reason="gradient conv1.kernel: 0.25 > 1e-9")
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "hostile",
        workloads=("conv",),
        blocks=2,
        rounds=3,
        rename={"torch-eager": HOSTILE},
        holes={"torch-compile": HOSTILE},
        control="torch-eager",
    )
    cells = folder / "cells"
    edit(folder / "run.json", id=HOSTILE, environment={HOSTILE: HOSTILE}, started=HOSTILE, finished=HOSTILE)
    edit(cells / "conv.keras-jax.cpu.b1.json", status="failed", reason=HOSTILE, output_tail=f"{HOSTILE}\n" * 9)
    for number, name in enumerate(("conv.keras-jax.cpu.b2.json", "conv.torch-eager.cpu.b2.json")):
        edit(cells / name, id=f"{ID}{number}")
        (cells / name).rename(cells / f"{ID}{number}.json")
    edit(cells / "conv.keras-tensorflow.cpu.b2.json", started=HOSTILE)
    (cells / "conv.keras-torch.cpu.b1.json").write_text(HOSTILE)
    edit(folder / "parity" / "conv.keras-jax.cpu.json", passed=False, reason=HOSTILE)
    return folder


def made(folder: Path, name: str) -> bytes:
    (path,) = exports.write(folder, [name])
    assert path == folder / "exports" / exports.FORMATS[name][0]
    return path.read_bytes()


def test_the_command_line_names_every_form() -> None:
    assert (*exports.PARTS, *exports.FORMATS) == cli.FORMATS


def test_bench_report_writes_the_forms_asked_for_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=3)
    assert cli.main(["report", str(folder), "--format", "mllog", "--format", "junit", "--format", "mllog"]) == 0
    asked = [folder / "exports" / name for name in ("mllog.txt", "junit.xml")]
    assert capsys.readouterr().out.split() == list(map(str, asked))
    assert sorted((folder / "exports").iterdir()) == sorted(asked)
    assert not (folder / "report.md").exists()
    assert cli.main(["report", str(folder), "--format", "md", "--format", "csv"]) == 0
    shown = [Path(line).relative_to(folder) for line in capsys.readouterr().out.split()]
    assert {Path("report.md"), Path("measurements.csv"), Path("curves.csv")} <= set(shown)
    assert {path.suffix for path in shown} == {".md", ".csv"}


def test_a_report_rebuilds_the_forms_that_are_there(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=3)
    before = made(folder, "junit")
    edit(folder / "cells" / "conv.torch-eager.cpu.b1.json", status="failed", reason="boom")
    assert folder / "exports" / "junit.xml" in exports.make(folder, [])
    assert (folder / "exports" / "junit.xml").read_bytes() != before
    assert [path.name for path in (folder / "exports").iterdir()] == ["junit.xml"]


def test_an_unknown_form_or_one_of_many_runs_is_told_in_a_line(plain: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["report", str(plain), "--format", "yaml"]) == 2
    assert "argument --format: invalid choice: 'yaml'" in capsys.readouterr().err
    assert cli.main(["report", str(plain.parent), "--format", "junit"]) == 2
    assert "--format junit: is made of one run" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=2)
    (folder / "exports").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="cannot be written there"):
        exports.write(folder, ["junit"])


@pytest.mark.parametrize("name", exports.FORMATS)
@pytest.mark.parametrize("run", ["plain", "hostile"])
def test_the_same_records_give_the_same_bytes_without_a_control_character(
    run: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(run)
    content = made(folder, name)
    assert made(folder, name) == content
    shown = content.decode()
    assert not [char for char in shown if (ord(char) < 32 and char != "\n") or char in "\x7f\u202e\ufffe\uffff"]


@pytest.mark.parametrize("run", ["plain", "hostile"])
def test_pytest_benchmark_compares_the_file(run: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    found = fastjsonschema.compile(BENCHMARK)(json.loads(made(folder, "pytest-benchmark")))
    assert found["benchmarks"]
    path = folder / "exports" / "benchmark.json"
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--sort=name", "--columns=median,rounds"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "Failed to load" not in shown.stderr + shown.stdout
    for group in {entry["group"] for entry in found["benchmarks"]}:
        assert f"benchmark {group!r}: " in shown.stdout
    for entry in found["benchmarks"]:
        assert entry["name"] in shown.stdout
    assert "\x1b[31m" not in shown.stdout


def test_the_entries_for_pytest_benchmark_hold_the_rounds_that_count(plain: Path) -> None:
    found = {
        (entry["name"], entry["extra_info"]["phase"]): entry
        for entry in json.loads(made(plain, "pytest-benchmark"))["benchmarks"]
    }
    folder = load(plain)
    expected = {
        (cell.id, phase.name): (cell, phase)
        for cell in folder.everything
        if cell.status == "ok"
        for phase in derived.phases(cell).values()
    }
    assert found.keys() == expected.keys()
    about = json.loads(made(plain, "pytest-benchmark"))
    assert about["machine_info"].items() >= MACHINE.items()
    assert about["commit_info"]["id"] == folder.run.environment["git"]["commit"]
    assert any(any(phase.tainted) and not phase.mostly_tainted for _, phase in expected.values())
    for key, (cell, phase) in expected.items():
        entry = found[key]
        assert entry["stats"]["data"] == [seconds / phase.steps_per_round for seconds in phase.counted_s]
        assert entry["stats"]["median"] == stats.median(entry["stats"]["data"])
        assert entry["stats"]["iterations"] == phase.steps_per_round
        assert entry["group"].startswith(f"{cell.workload}/{cell.device}")
        assert entry["extra_info"]["arm"] == cell.arm
        assert len(entry["extra_info"]["starts_s"]) in (0, len(phase.counted_s))


@pytest.mark.parametrize(
    "golden", sorted(path.parent for path in GOLDEN.glob("*/run.json")), ids=lambda path: path.name
)
def test_a_real_run_is_valid_in_every_form(golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / golden.name
    shutil.copytree(golden, folder)
    found = fastjsonschema.compile(BENCHMARK)(json.loads(made(folder, "pytest-benchmark")))
    assert found["machine_info"]["python_implementation"] == "CPython"
    assert all(entry["options"]["timer"] == "perf_counter" for entry in found["benchmarks"]), "as it was measured"
    assert {event["event_type"] for event in events(made(folder, "mllog"))} >= {"INTERVAL_START", "INTERVAL_END"}
    assert fastjsonschema.compile(ACTION)(json.loads(made(folder, "github-action-benchmark")))
    plan = [cell.id for cell in load(folder).run.plan]
    cases = [case.get("name") for case in junit(made(folder, "junit")).iter("testcase")]
    assert sorted(name for name in cases if name in plan) == sorted(plan)


def test_junit_lists_every_cell_with_its_outcome(plain: Path) -> None:
    root = junit(made(plain, "junit"))
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["conv on cpu", "conv_gru on cpu", "matrix product on cpu", exports.junit.UNPLANNED]
    outcome = {
        case.get("name"): [(child.tag, child.get("message")) for child in case] for case in root.iter("testcase")
    }
    assert {cell.id for cell in load(plain).run.plan} <= outcome.keys()
    assert outcome["conv.keras-tensorflow.cpu.b1"] == []
    assert outcome["conv.keras-jax.cpu.b2"] == [("failure", "train_step: boom")]
    assert outcome["conv.keras-jax.cpu.b3"] == [("skipped", "out of memory on the device")]
    assert outcome["conv_gru.torch-compile.cpu.b3"] == [("skipped", "planned, not measured")]
    (unreadable,) = outcome["conv.torch-compile.cpu.b3"]
    assert unreadable[0] == "error"
    assert unreadable[1].startswith("not a whole Cell record")
    assert [case.get("name") for case in suites[exports.junit.UNPLANNED]] == ["cells/stray.json"]
    parity = suites["conv_gru on cpu"].find("testcase[@name='parity of keras-jax with the reference']/failure")
    assert parity is not None
    assert parity.get("message") == "gradient conv1.kernel: 0.25 > 1e-9"
    failed = root.find(".//testcase[@name='conv.keras-jax.cpu.b2']/failure")
    assert failed is not None
    assert failed.text == "one\ntwo"


def test_the_counts_and_times_of_a_junit_suite_are_those_of_its_cases(plain: Path) -> None:
    root, cells = junit(made(plain, "junit")), {cell.id: cell for cell in load(plain).everything}
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite)
        for attribute, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert int(suite.get(attribute, "")) == len(suite.findall(f"testcase/{tag}"))
        times = [float(case.get("time", "0")) for case in suite]
        # both are rounded to a millisecond, the sum once and each of its parts
        assert float(suite.get("time", "")) == pytest.approx(sum(times), abs=0.0005 * (len(times) + 1))
        for case in suite:
            if (cell := cells.get(case.get("name", ""))) is not None:
                assert case.get("time") == f"{cell.wall_s:.3f}"


def test_hostile_text_leaves_junit_valid_and_readable(hostile: Path) -> None:
    root = junit(made(hostile, "junit"))
    reasons = [element.get("message", "") for element in root.iter("failure")]
    assert reasons
    assert all("<script>alert(1)</script>" in reason for reason in reasons)
    assert all(suite.get("timestamp") is None for suite in root), "a time that is none is left out"


def test_github_action_benchmark_gets_the_figures_of_the_report(plain: Path) -> None:
    entries = fastjsonschema.compile(ACTION)(json.loads(made(plain, "github-action-benchmark")))
    by_name = {entry["name"]: entry for entry in entries}
    assert len(by_name) == len(entries)
    blocks = [
        stats.median(derived.phases(cell)["train_step"].counted_s) * 1e3
        for cell in load(plain).cells
        if (cell.workload, cell.arm, cell.label) == ("conv_gru", "keras-jax", "")
    ]
    entry = by_name["conv_gru on cpu: keras-jax, step time"]
    assert entry["value"] == pytest.approx(stats.median(blocks), rel=1e-12)  # s to ms before or after the median
    assert entry["unit"] == "ms"
    assert entry["range"] == f"{min(blocks):.2f} to {max(blocks):.2f}"
    assert "median of 3 blocks" in entry["extra"]
    assert by_name["conv on cpu: keras-jax, epoch time"]["unit"] == "s"
    assert not [name for name in by_name if "plain" in name], "the name of a run would make every entry a new one"
    assert not [name for name in by_name if "keras-torch" in name], "what was not measured has no figure"


def test_hostile_text_leaves_the_other_forms_valid(hostile: Path) -> None:
    assert fastjsonschema.compile(ACTION)(json.loads(made(hostile, "github-action-benchmark")))
    content = made(hostile, "mllog")
    found = events(content)
    assert {event["namespace"] for event in found} >= {f"{ID}0", f"{ID}1"}, "what a reader gets is the text itself"
    comments = [line for line in content.decode("ascii").splitlines() if not line.startswith(MARK)]
    assert len(comments) == 5, "one failed, one set aside, one without a time; two of the plan are under other ids"
    assert all(line.startswith("# ") for line in comments)


def test_every_interval_of_a_log_is_ended_and_no_time_is_invented(plain: Path) -> None:
    by_cell: dict[str, list[dict[str, Any]]] = {}
    for event in events(made(plain, "mllog")):
        by_cell.setdefault(event["namespace"], []).append(event)
    cells = {cell.id: cell for cell in load(plain).cells if cell.status == "ok"}
    assert by_cell.keys() == cells.keys()
    for name, found in by_cell.items():
        origin_ms = datetime.fromisoformat(cells[name].started).timestamp() * 1e3
        assert [event["time_ms"] for event in found] == sorted(event["time_ms"] for event in found)
        open_keys: list[str] = []
        for event in found:
            stem = event["key"].rpartition("_")[0]
            if event["event_type"] == "INTERVAL_START":
                assert stem not in open_keys
                open_keys.append(stem)
            elif event["event_type"] == "INTERVAL_END":
                open_keys.remove(stem)
        assert open_keys == []
        rounds = [
            (start_s, start_s + seconds)
            for phase in derived.phases(cells[name]).values()
            for start_s, seconds in zip(phase.starts_s, phase.rounds_s, strict=True)
        ]
        known_ms = {round(origin_ms + at_s * 1e3) for pair in rounds for at_s in (0.0, *pair)}
        assert {event["time_ms"] for event in found} <= known_ms


def test_a_log_says_what_was_trained_how_fast_and_what_it_learnt(plain: Path) -> None:
    found = [event for event in events(made(plain, "mllog")) if event["namespace"] == "conv.keras-jax.cpu.b1"]
    value = {event["key"]: event["value"] for event in found}
    cell = next(cell for cell in load(plain).cells if cell.id == "conv.keras-jax.cpu.b1")
    step, epoch = (derived.phases(cell)[name] for name in ("train_step", "epoch"))
    assert value["submission_benchmark"] == "conv"
    assert value["submission_platform"] == "cpu"
    assert value["seed"] == cell.seed
    assert value["global_batch_size"] == step.samples_per_round
    assert value["train_samples"] == epoch.samples_per_round
    assert value["eval_accuracy"] == cell.curve[0].validation["accuracy"]
    (tracked,) = (
        event["value"]["throughput"]
        for event, before in zip(found[1:], found, strict=False)
        if (event["key"], before["key"]) == ("tracked_stats", "train_step_stop")
    )
    assert tracked == step.samples_per_round / stats.median(step.counted_s)
    assert found[-1]["key"] == "run_stop"
    assert found[-1]["metadata"]["status"] == "success"
    assert found[-1]["metadata"]["file"] == "cells/conv.keras-jax.cpu.b1.json"


def test_the_epochs_of_a_schedule_are_logged_with_the_validation_after_each(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=3)
    extra = {"phase": "converge", "steps_per_round": 10, "samples_per_round": 1280, "starts_s": [5.0, 9.0]}
    edit(
        folder / "cells" / "conv.torch-eager.cpu.b1.json",
        pytest_benchmark={"benchmarks": [{"extra_info": extra, "stats": {"data": [3.0, 2.5]}}]},
        curve=tuple(
            record.CurvePoint(n, {"loss": 1.0}, {"loss": 0.5, "accuracy": 0.7 + n / 10}, 3.0, 0.5) for n in (1, 2)
        ),
    )
    (cell,) = load(folder).cells
    origin_ms = datetime.fromisoformat(cell.started).timestamp() * 1e3
    assert datetime.fromtimestamp(origin_ms / 1e3, UTC).isoformat() == cell.started.replace("Z", "+00:00")
    found = [
        (event["key"], (event["time_ms"] - origin_ms) / 1e3, event["metadata"]["epoch_num"], event["value"])
        for event in events(made(folder, "mllog"))
        if "epoch_num" in event["metadata"]
    ]
    assert found == [
        ("epoch_start", 5.0, 1, None), ("epoch_stop", 8.0, 1, None), ("eval_start", 8.0, 1, None),
        ("eval_loss", 8.5, 1, 0.5), ("eval_accuracy", 8.5, 1, pytest.approx(0.8)), ("eval_stop", 8.5, 1, None),
        ("epoch_start", 9.0, 2, None), ("epoch_stop", 11.5, 2, None), ("eval_start", 11.5, 2, None),
        ("eval_loss", 12.0, 2, 0.5), ("eval_accuracy", 12.0, 2, pytest.approx(0.9)), ("eval_stop", 12.0, 2, None),
    ]  # fmt: skip


def test_of_a_training_taken_up_after_a_kill_only_the_epochs_with_a_known_time_are_logged(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=3)
    extra = {"phase": "converge", "steps_per_round": 10, "samples_per_round": 1280, "starts_s": [9.0]}
    points = tuple(record.CurvePoint(n, {"loss": 1.0}, {"loss": 0.5}, 4.0 - n, 0.5) for n in (1, 2, 3))
    edit(
        folder / "cells" / "conv.torch-eager.cpu.b1.json",
        pytest_benchmark={"benchmarks": [{"extra_info": extra, "stats": {"data": [1.0]}}]},
        curve=points,
        resumed=(2,),
    )
    assert not load(folder).set_aside
    (cell,) = load(folder).cells
    origin_ms = datetime.fromisoformat(cell.started).timestamp() * 1e3
    found = [
        (event["key"], (event["time_ms"] - origin_ms) / 1e3, event["metadata"]["epoch_num"])
        for event in events(made(folder, "mllog"))
        if "epoch_num" in event["metadata"]
    ]
    assert found == [
        ("epoch_start", 9.0, 3), ("epoch_stop", 10.0, 3),
        ("eval_start", 10.0, 3), ("eval_loss", 10.5, 3), ("eval_stop", 10.5, 3),
    ]  # fmt: skip
    (entry,) = json.loads(made(folder, "pytest-benchmark"))["benchmarks"]
    assert entry["stats"]["data"] == [0.3, 0.2, 0.1]
    assert entry["extra_info"]["starts_s"] == [9.0]
    rounds = frames.measurements(load(folder))
    assert rounds["seconds"].tolist() == [3.0, 2.0, 1.0]
    assert rounds["start_s"].isna().tolist() == [True, True, False]


def test_records_without_starts_of_rounds_are_exported_without_their_times(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "old", workloads=("conv",), arms=("torch-eager",), blocks=1, rounds=5, schema=1)
    assert {event["event_type"] for event in events(made(folder, "mllog"))} == {"POINT_IN_TIME"}
    found = fastjsonschema.compile(BENCHMARK)(json.loads(made(folder, "pytest-benchmark")))
    assert all(math.isfinite(entry["stats"]["mean"]) for entry in found["benchmarks"])
    assert junit(made(folder, "junit")).findall(".//testcase[@name='conv.torch-eager.cpu.b1']")


def test_a_run_without_anything_measured_is_exported(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "none", workloads=("conv",), blocks=1, rounds=1)
    for path in [*(folder / "cells").iterdir(), *(folder / "parity").iterdir()]:
        path.unlink()
    root = junit(made(folder, "junit"))
    assert len(root.findall(".//skipped")) == 5
    assert json.loads(made(folder, "github-action-benchmark")) == []
    assert fastjsonschema.compile(BENCHMARK | {"properties": {}, "additionalProperties": True})(
        json.loads(made(folder, "pytest-benchmark"))
    )
    assert events(made(folder, "mllog")) == []
