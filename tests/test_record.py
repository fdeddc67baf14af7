"""Records on disk: whole or absent, provably unchanged, and readable after the schema has moved on."""

import hashlib
import re
from pathlib import Path

import msgspec
import pytest
from make_run import make_run

from bench import derived, record
from bench.errors import UsageError
from bench.record import Cell, Run, Window

OLD = Path(__file__).parent / "records"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("records") / "run", workloads=("conv_only",), blocks=1)


@pytest.fixture
def cell(run) -> Path:
    return next(path for path in sorted((run / "cells").glob("*.json")) if not path.name.startswith("ceiling"))


def test_a_record_reads_back_as_it_was_written(cell, tmp_path):
    value = record.read(cell, Cell)
    record.write(tmp_path / "again.json", value)
    assert (tmp_path / "again.json").read_bytes() == cell.read_bytes()


def test_the_second_line_is_the_checksum_of_the_others(cell):
    first, line, rest = cell.read_bytes().split(b"\n", 2)
    digest = hashlib.sha256(first + b"\n" + rest).hexdigest()
    assert line == f' "checksum": "sha256:{digest}",'.encode()
    assert msgspec.json.decode(cell.read_bytes())["checksum"] == f"sha256:{digest}"


def test_a_changed_byte_is_found_also_where_the_record_stays_readable(cell, tmp_path):
    content = cell.read_bytes()
    (number,) = re.findall(rb'"wall_s": ([0-9.]+)', content)
    changed = tmp_path / "changed.json"
    changed.write_bytes(content.replace(b'"wall_s": ' + number, b'"wall_s": 1.5'))
    with pytest.raises(
        UsageError, match=r"changed.json: its content does not match its checksum; delete it and resume"
    ):
        record.read(changed, Cell)


def test_a_record_without_its_checksum_is_refused(cell, tmp_path):
    first, _, rest = cell.read_bytes().split(b"\n", 2)
    (tmp_path / "bare.json").write_bytes(first + b"\n" + rest)
    with pytest.raises(UsageError, match="does not match its checksum"):
        record.read(tmp_path / "bare.json", Cell)


@pytest.mark.parametrize("length", [0, 1, 40, 400])
def test_a_record_that_was_cut_off_is_named_with_the_cure(cell, tmp_path, length):
    (tmp_path / "short.json").write_bytes(cell.read_bytes()[:length])
    with pytest.raises(UsageError, match=r"short.json: not a whole Cell record .*; delete it and resume the run"):
        record.read(tmp_path / "short.json", Cell)


def test_a_record_of_a_later_schema_asks_for_the_bench_that_wrote_it(cell, tmp_path):
    value = msgspec.structs.replace(record.read(cell, Cell), schema=record.SCHEMA + 1)
    record.write(tmp_path / "later.json", value)
    told = f"schema {record.SCHEMA + 1}; this bench reads schemas 1 to {record.SCHEMA}: use the bench that wrote"
    with pytest.raises(UsageError, match=told):
        record.read(tmp_path / "later.json", Cell)


def test_records_of_schema_1_are_read(tmp_path):
    stored, cell = record.read(OLD / "run-schema1.json", Run), record.read(OLD / "cell-schema1.json", Cell)
    assert (stored.schema, stored.control, stored.plan[0].label) == (1, None, "")
    assert (cell.schema, cell.label, cell.ledger, cell.watch, cell.energy) == (1, "", (), (), ())
    step = derived.phases(cell)["train_step"]
    assert step.warmup_rounds == 5  # assumed in those days, not found
    assert len(step.counted_s) == len(step.rounds_s) - 5
    assert derived.ledger(cell) == {}


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    record.write_bytes(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        record.write_bytes(path, b"after")
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def with_windows(cell: Cell, *windows: tuple[float, float, tuple[str, ...]]) -> Cell:
    return msgspec.structs.replace(cell, watch=tuple(Window(start, end, {}, taints) for start, end, taints in windows))


def rounds(seconds: list[float], starts_s: list[float], phase: str = "train_step") -> dict[str, object]:
    extra = {"phase": phase, "steps_per_round": 1, "samples_per_round": 1, "starts_s": starts_s}
    return {"extra_info": extra, "stats": {"data": seconds}}


def test_a_round_is_tainted_by_the_windows_it_overlaps_and_does_not_count(cell):
    value = record.read(cell, Cell)
    steps = rounds([1.0] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    value = msgspec.structs.replace(value, pytest_benchmark={"benchmarks": [steps]})
    value = with_windows(value, (0.0, 1.5, ()), (1.5, 2.5, ("steal",)), (2.5, 4.0, ()), (4.0, 9.0, ()))
    phase = derived.phases(value)["train_step"]
    assert phase.taints == ((), ("steal",), ("steal",), (), (), ())
    assert phase.counted == (True, False, False, True, True, True)
    assert not phase.mostly_tainted


def test_rounds_are_never_all_dropped(cell):
    steps = rounds([1.0, 1.1, 1.2, 1.3], [0.0, 1.0, 2.0, 3.0])
    value = msgspec.structs.replace(record.read(cell, Cell), pytest_benchmark={"benchmarks": [steps]})
    phase = derived.phases(with_windows(value, (0.0, 3.0, ("load",)), (3.0, 9.0, ())))["train_step"]
    assert phase.mostly_tainted
    assert phase.counted_s == (1.0, 1.1, 1.2, 1.3)


def test_rounds_measured_again_stand_behind_the_first_ones(cell):
    first, again = rounds([1.0] * 3, [0.0, 1.0, 2.0]), rounds([1.5], [9.0])
    value = msgspec.structs.replace(record.read(cell, Cell), pytest_benchmark={"benchmarks": [first, again]})
    phase = derived.phases(with_windows(value, (0.5, 2.0, ("load",)), (2.0, 20.0, ())))["train_step"]
    assert phase.rounds_s == (1.0, 1.0, 1.0, 1.5)
    assert phase.counted_s == (1.0, 1.5)
    assert phase.starts_s == (0.0, 1.0, 2.0, 9.0)


def test_the_ledger_divides_the_training_steps_and_loses_nothing(cell):
    value = record.read(cell, Cell)
    parts = derived.ledger(value)
    spans_s = sum(span.end_s - span.start_s for span in value.ledger)
    assert sum(parts.values()) == pytest.approx(spans_s, rel=1e-9)  # the same seconds, added in another order
    assert parts["warm_up"] + parts["steady"] == pytest.approx(sum(derived.phases(value)["train_step"].rounds_s))
    assert {"interpreter", "import", "first_step", "teardown"} <= {name for name, s in parts.items() if s > 0}


def test_a_disturbance_that_begins_is_not_taken_for_the_end_of_a_warm_up(cell):
    seconds = [3.0, 1.0, 1.01, 1.0, 1.02, 1.0, 1.01, 1.0, 1.02, 1.0, 1.01, 1.0, 2.0, 2.1, 2.0, 2.2, 2.0, 2.1]
    steps = rounds(seconds, [10.0 * number for number in range(len(seconds))])
    value = msgspec.structs.replace(record.read(cell, Cell), pytest_benchmark={"benchmarks": [steps]})
    phase = derived.phases(with_windows(value, (0.0, 119.0, ()), (119.0, 500.0, ("load",))))["train_step"]
    assert phase.warmup_rounds == 1
    assert phase.counted_s == tuple(seconds[1:12])
