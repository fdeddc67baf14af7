"""Which runs may stand in one series: the rules of `bench compare`, per machine, device, workload, data and schema."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from make_history import MACHINE, make_history

from bench import history
from bench.compare.differences import comparable, differences
from bench.history import Entry
from bench.record import Run
from bench.report.folder import load


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Three runs of two workloads, the last of them 20 % slower with one arm."""
    folder = tmp_path_factory.mktemp("runs")
    runs = make_history(folder, [1.0, 1.0, {"torch-eager": 1.2}], workloads=("conv", "conv_only"), blocks=2)
    return [history.entry(found.run, found.everything) for found in map(load, runs)]


def other(entry: Entry, **changes: Any) -> Entry:
    return Entry(msgspec.structs.replace(entry.run, **changes), entry.phase, entry.figures)


def on(entry: Entry, **environment: Any) -> Entry:
    return other(entry, environment=entry.run.environment | environment)


def series(entries: list[Entry]) -> list[tuple[str, list[int]]]:
    """Workload and places in `entries` of every series of every machine."""
    places = {id(entry): place for place, entry in enumerate(entries)}
    return [
        (each.workload, [places[id(entry)] for entry in each.entries])
        for machine in history.machines(entries)
        for each in machine.series
    ]


def test_runs_of_one_machine_stand_in_one_series_per_workload_in_the_order_of_their_start(entries) -> None:
    (machine,) = history.machines(reversed(entries))
    assert [(each.workload, each.device, each.number) for each in machine.series] == [
        ("conv", "cpu", 1),
        ("conv_only", "cpu", 1),
    ]
    for each in machine.series:
        assert [entry.run.id for entry in each.entries] == ["run-00", "run-01", "run-02"]
        assert list(each.trends) == ["torch-eager", "torch-compile"]
        assert [point.place for point in each.trends["torch-eager"].points] == [0, 1, 2]


@pytest.mark.parametrize(
    "environment",
    [{"cpu": "another"}, {"logical_cores": 4}, {"cpu_budget": 2}, {"memory_bytes": 2**30}, {"gpus": [{"name": "H"}]}],
)
def test_other_hardware_is_another_machine(environment: dict[str, Any], entries: list[Entry]) -> None:
    found = history.machines([entries[0], on(entries[1], **environment), entries[2]])
    assert [[entry.run.id for entry in machine.entries] for machine in found] == [["run-00", "run-02"], ["run-01"]]


def test_other_software_stays_in_the_series(entries: list[Entry]) -> None:
    changed = on(entries[1], kernel="7", git={"commit": "f" * 40}, memory_bytes=MACHINE["memory_bytes"] - 2**26)
    assert series([entries[0], changed]) == [("conv", [0, 1]), ("conv_only", [0, 1])]


def test_another_digest_other_data_device_or_schema_is_another_series_of_the_same_machine(entries: list[Entry]) -> None:
    def changed(**changes: Any) -> Entry:
        spec = entries[1].run.workloads["conv"]
        workload = msgspec.structs.replace(spec, **changes)
        return other(entries[1], workloads=entries[1].run.workloads | {"conv": workload})

    data = entries[1].run.workloads["conv"].data
    for one in (changed(digest="another"), changed(data=msgspec.structs.replace(data, identity="genuine"))):
        assert series([entries[0], one]) == [("conv", [0]), ("conv_only", [0, 1]), ("conv", [1])]
        numbers = [each.number for each in history.machines([entries[0], one])[0].series]
        assert numbers == [1, 1, 2]
    for one in (other(entries[1], device="gpu"), other(entries[1], schema=1)):
        assert [places for _, places in series([entries[0], one])] == [[0], [0], [1], [1]]
        assert len(history.machines([entries[0], one])) == 1


def test_step_times_of_epochs_are_not_mixed_with_those_of_steps(entries: list[Entry]) -> None:
    converged = Entry(entries[1].run, "converge", entries[1].figures)
    assert [places for _, places in series([entries[0], converged])] == [[0], [0], [1], [1]]


def test_a_run_joins_only_runs_with_all_of_which_it_may_be_compared(entries: list[Entry]) -> None:
    """Memory may differ by 5 % between two kernels, and by no more over a chain of them."""
    sizes = [100, 96, 92]
    chain = [on(entry, memory_bytes=size) for entry, size in zip(entries, sizes, strict=True)]
    found = history.machines(chain)
    assert [[entry.run.id for entry in machine.entries] for machine in found] == [["run-00", "run-01"], ["run-02"]]


def test_a_workload_or_an_arm_that_a_run_lacks_is_passed_over(entries: list[Entry]) -> None:
    some = {key: figures for key, figures in entries[1].figures.items() if key == ("conv", "torch-compile")}
    lacking = Entry(entries[1].run, entries[1].phase, some)
    assert series([entries[0], lacking, entries[2]]) == [("conv", [0, 1, 2]), ("conv_only", [0, 2])]
    trends = history.machines([entries[0], lacking, entries[2]])[0].series[0].trends
    assert [point.place for point in trends["torch-eager"].points] == [0, 2]


def test_the_second_entry_of_the_control_has_no_trend(tmp_path: Path) -> None:
    run = load(make_history(tmp_path, [1.0], control="torch-eager")[0])
    entry = history.entry(run.run, run.everything)
    assert ("conv_only", "torch-eager (a2)") in entry.figures
    assert "torch-eager (a2)" not in history.machines([entry])[0].series[0].trends


def test_the_quick_question_has_the_answer_of_the_long_one(entries: list[Entry]) -> None:
    def long(a: Run, b: Run, workload: str) -> bool:
        return not any(each.prevents and each.workload in (None, workload) for each in differences(a, b))

    spec = entries[1].run.workloads["conv"]
    runs = [
        entries[0].run,
        *(on(entries[1], **changed).run for changed in ({"cpu": "another"}, {"cpu": None}, {"kernel": "7"})),
        other(entries[1], schema=1).run,
        other(entries[1], device="gpu").run,
        other(entries[1], workloads=entries[1].run.workloads | {"conv": msgspec.structs.replace(spec, digest="x")}).run,
    ]
    for a in runs:
        for b in runs:
            for workload in ("conv", "conv_only"):
                assert comparable(a, b, workload) == long(a, b, workload)
