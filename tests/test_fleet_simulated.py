"""The scheduling of a fleet, with everything real but the machines: they take simulated time, and die."""

import dataclasses
import io
import itertools
import sys
import time
from pathlib import Path

import even_cells
import harness
import msgspec
import pytest
from rich.console import Console
from simulated_cluster import REPAIR_S, SOURCE, SimulatedCluster

from bench import contest, implementation, launch, record, runfolder
from bench.catalogue import unit
from bench.cli import main
from bench.contest import Contest, Options
from bench.display.fleet import FleetDisplay
from bench.effects import FIRST_LOOK
from bench.execution import Patience, Setting
from bench.fleet.driver import Driver
from bench.fleet.record import FILE, SCHEMA, Fleet, Machine
from bench.profiles import Profile
from bench.record import Cell, Run
from bench.report import fleet as report

ARMS = ("fake-1ms", "fake-10ms", "fake-100ms", "fake-nan-loss")
WORKLOADS = ("conv", "conv_gru", "conv_only")
PATIENCE = Patience(poll_s=0.0, nodes_s=0.0, return_s=0.0, first_s=0.0)
"""Of tests that have nothing to do with it: a look at everything at every event."""


@pytest.fixture
def ready(monkeypatch, tmp_path) -> Contest:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(harness.FAKES))
    implementation.arms.cache_clear()
    found = contest.contest(Options(workloads=WORKLOADS, arms=ARMS), profile(1))
    implementation.arms.cache_clear()
    return found


def profile(blocks: int, budget_s: float | None = None, most: int | None = None) -> Profile:
    return Profile("quick", "", blocks=blocks, most_blocks=most or blocks, full_blocks=0, rounds=3, budget_s=budget_s)


def driver(
    ready: Contest,
    cluster: SimulatedCluster,
    blocks: int,
    folder: Path,
    *,
    budget_s: float | None = None,
    most: int | None = None,
    patience: Patience = PATIENCE,
) -> Driver:
    """Of a fleet's run in `folder`, new or as far as it has come."""
    path = folder / FILE
    if not path.exists():
        folder.mkdir(exist_ok=True)
        record.write(path, Fleet(SCHEMA, "simulated", runfolder.now(), ("bench", "run"), "cpu", "simulated", {}, {}))
    prepared = {name: launch.Prepared(spec.digest(), "synthetic", Path(), {}) for name, spec in ready.workloads.items()}
    workloads = {
        name: msgspec.structs.replace(remembered(), digest=spec.digest(), data=SOURCE)
        for name, spec in ready.workloads.items()
    }
    setting = Setting(profiles={"quick": profile(blocks, budget_s, most)}, patience=patience)
    display = FleetDisplay(Console(file=io.StringIO()))
    return Driver(cluster, record.read(path, Fleet), folder, ready, prepared, workloads, setting, display)


def remembered() -> record.Workload:
    return record.Workload(
        title="simulated", digest="", head=None, metrics=("loss",), input_shape=(8, 1), layers=(), parameters=1,
        batch_size=1, steps_per_epoch=1, epochs=1, flops_per_step=1, bytes_per_step=1, optimizer="",
        data=SOURCE, naive_loss=None,
    )  # fmt: skip


def digests(ready: Contest) -> dict[str, str]:
    return {name: spec.digest() for name, spec in ready.workloads.items()}


def run_of(folder: Path) -> tuple[Run, list[Cell]]:
    (run,) = (path.parent for path in folder.glob("*/run.json"))
    stored = record.read(run / "run.json", Run)
    return stored, [record.read(run / "cells" / f"{cell.id}.json", Cell) for cell in stored.plan]


def machines_of_units(cells: list[Cell]) -> dict[tuple[int, str], set[str]]:
    ordered = sorted(cells, key=unit)
    return {key: {cell.machine for cell in group} for key, group in itertools.groupby(ordered, key=unit)}


@pytest.mark.proof  # a minute
def test_ten_thousand_cells_on_a_hundred_machines_that_die_take_a_tenth_more_than_the_bound_at_most(
    ready, tmp_path, monkeypatch
):
    """With the patience that users have: what waits for a machine to come back is waited for."""
    machines, blocks = 100, 667
    cluster = SimulatedCluster(machines, digests(ready), mean_life_s=2000.0)
    monkeypatch.setattr(time, "monotonic", lambda: cluster.now_s)
    begun_s = time.perf_counter()
    assert driver(ready, cluster, blocks, tmp_path / "fleet", patience=Patience()).run()
    took_s = time.perf_counter() - begun_s
    _, cells = run_of(tmp_path / "fleet")
    assert len(cells) > 10_000
    assert {cell.status for cell in cells} == {"ok"}
    assert cluster.deaths > 20, "or the failures were not simulated"
    bound_s = sum(cell.wall_s for cell in cells) / machines
    print(f"{len(cells)} cells, {cluster.deaths} deaths: {cluster.now_s / bound_s:.3f} of the bound, "
          f"{1e3 * took_s / len(cells):.1f} ms a cell")  # fmt: skip
    assert cluster.now_s < 1.1 * bound_s
    # All of the driver's work: records written and synced, the plan, the figures that decide on further blocks.
    assert took_s / len(cells) < 0.05
    assert all(len(found) == 1 for found in machines_of_units(cells).values())


def test_the_cells_of_a_block_are_on_one_machine_whatever_dies(ready, tmp_path):
    cluster = SimulatedCluster(5, digests(ready), mean_life_s=60.0, seed=3)
    whole = driver(ready, cluster, 12, tmp_path / "fleet").run()
    _, cells = run_of(tmp_path / "fleet")
    assert whole
    assert cluster.deaths > 10
    assert {cell.status for cell in cells} <= {"ok", "failed"}
    assert all(len(found) == 1 for found in machines_of_units([cell for cell in cells if cell.wall_s]).values())
    assert len({cell.machine for cell in cells}) > 1


def test_what_is_lost_with_a_machine_is_recorded(ready, tmp_path):
    cluster = SimulatedCluster(4, digests(ready), mean_life_s=80.0, seed=1)
    made = driver(ready, cluster, 6, tmp_path / "fleet")
    made.run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    planned = {cell.id for cell in run_of(tmp_path / "fleet")[0].plan}
    assert stored.losses
    assert {loss.cell for loss in stored.losses} <= planned
    assert {loss.machine for loss in stored.losses} <= set(stored.machines)
    assert {loss.reason for loss in stored.losses if not loss.measured} == {"simulated death"}


def test_a_machine_that_comes_back_before_its_death_is_noticed_goes_on_with_its_blocks(ready, tmp_path):
    cluster = SimulatedCluster(2, digests(ready), mean_life_s=150.0, noticed_after_s=REPAIR_S + 20)
    assert driver(ready, cluster, 6, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    assert cluster.deaths > 1
    assert len(stored.machines) == 2
    assert {machine.state for machine in stored.machines.values()} == {"took part"}


def test_one_machine_whose_arm_fails_parity_is_left_out_and_an_arm_that_fails_everywhere_is_refused(ready, tmp_path):
    faulty = {0: ("fake-10ms",), 1: ("fake-10ms", "fake-1ms"), 2: ("fake-10ms",)}
    assert driver(ready, SimulatedCluster(3, digests(ready), faulty=faulty), 3, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    (left_out,) = [machine for machine in stored.machines.values() if machine.state == "left out"]
    assert "fake-1ms.cpu" in (left_out.reason or "")
    assert "fails parity here and not on another machine" in (left_out.reason or "")
    _, cells = run_of(tmp_path / "fleet")
    failed = {cell.arm for cell in cells if cell.status == "failed"}
    assert failed == {"fake-10ms"}
    assert {cell.arm for cell in cells if cell.status == "ok"} == set(ARMS) - failed


def test_a_fleet_that_is_interrupted_anywhere_and_taken_up_again_ends_as_one_that_was_not(ready, tmp_path):
    faulty = dict.fromkeys(range(5), ("fake-10ms",))
    assert driver(ready, SimulatedCluster(3, digests(ready), faulty=faulty), 4, tmp_path / "whole").run()
    for events in (2, 9, 14, 25, 40, 60):
        folder = tmp_path / str(events)
        interrupted = SimulatedCluster(3, digests(ready), faulty=faulty, interrupted_after=events)
        with pytest.raises(KeyboardInterrupt):
            driver(ready, interrupted, 4, folder).run()
        # Of the machines the first is the same, two have never been seen.
        again = SimulatedCluster(5, digests(ready), faulty=faulty)
        again.nodes = lambda: ["000.0", "003.0", "004.0"]  # type: ignore[method-assign]
        assert driver(ready, again, 4, folder).run()
        (run, cells), (expected, _) = run_of(folder), run_of(tmp_path / "whole")
        assert [cell.id for cell in run.plan] == [cell.id for cell in expected.plan]
        assert all(len(found) == 1 for found in machines_of_units([cell for cell in cells if cell.wall_s]).values())
        assert not list(folder.glob("*/cells/set-aside/*"))


def test_classes_have_runs_of_their_own_and_a_class_without_a_machine_stays_open(ready, tmp_path):
    cluster = SimulatedCluster(4, digests(ready), kinds={2: "another", 3: "another"})
    assert driver(ready, cluster, 3, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    assert len(stored.classes) == 2
    for name in stored.classes:
        of_class = {cell.machine for cell in cells_in(tmp_path / "fleet" / name)}
        assert of_class == {key for key, machine in stored.machines.items() if machine.machine_class == name}
        assert record.read(tmp_path / "fleet" / name / "run.json", Run).finished
    gone = SimulatedCluster(1, digests(ready), mean_life_s=40.0, never_back=True)
    assert not driver(ready, gone, 6, tmp_path / "gone").run()
    stored = record.read(tmp_path / "gone" / FILE, Fleet)
    (name,) = stored.classes
    run = record.read(tmp_path / "gone" / name / "run.json", Run)
    assert (stored.finished, run.finished) == (None, None)
    assert "no machine of this class is left" in (run.ended_because or "")
    assert driver(ready, SimulatedCluster(2, digests(ready)), 6, tmp_path / "gone").run(), "it can be taken up again"
    ended = run_of(tmp_path / "gone")
    assert driver(ready, SimulatedCluster(2, digests(ready)), 6, tmp_path / "gone").run(), "and is then left as it is"
    assert run_of(tmp_path / "gone") == ended


def cells_in(folder: Path) -> list[Cell]:
    found = [record.read(path, Cell) for path in sorted((folder / "cells").glob("*.json"))]
    return [cell for cell in found if cell.block]


def test_a_budget_that_ends_leaves_whole_blocks(ready, tmp_path, monkeypatch):
    cluster = SimulatedCluster(3, digests(ready))
    monkeypatch.setattr(time, "monotonic", lambda: cluster.now_s)
    assert driver(ready, cluster, 50, tmp_path / "fleet", budget_s=500.0).run()
    (run,) = (path.parent for path in (tmp_path / "fleet").glob("*/run.json"))
    stored = record.read(run / "run.json", Run)
    assert "budget spent" in (stored.ended_because or "")
    measured = [unit(cell) for cell in cells_in(run) if cell.status == "ok"]
    counts = [measured.count(each) for each in dict.fromkeys(measured)]
    assert sum(count < len(ARMS) + 1 for count in counts) <= 3, "the last one of each machine at most is cut off"
    assert 400 < cluster.now_s < 500 + 20, "three machines measure until it ends, the last cell a little longer"
    assert len(measured) > 2.5 * 400 / 20, "all three of them"


@pytest.mark.parametrize("machines", [1, 2, 4])
@pytest.mark.parametrize("node_stays", [False, True])
def test_a_cell_that_ends_every_machine_that_measures_it_fails_alone(
    ready, tmp_path, monkeypatch, machines, node_stays
):
    killer = "conv.fake-10ms.cpu.b02"
    cluster = SimulatedCluster(machines, digests(ready), killer=killer, node_stays=node_stays)
    monkeypatch.setattr(time, "monotonic", lambda: cluster.now_s)
    assert driver(ready, cluster, 3, tmp_path / "fleet", patience=Patience()).run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    assert {machine.state for machine in stored.machines.values()} == {"took part"}, "it is no machine's fault"
    assert len(stored.machines) == machines
    assert [loss.cell for loss in stored.losses if not loss.measured] == 3 * [killer]
    _, cells = run_of(tmp_path / "fleet")
    (failed,) = [cell for cell in cells if cell.status != "ok"]
    assert (failed.id, failed.status) == (killer, "failed")
    assert "3 times a machine was lost while it measured it" in (failed.reason or "")


def test_a_machine_whose_answer_is_not_whole_is_left_out_and_the_others_go_on(ready, tmp_path):
    cluster = SimulatedCluster(3, digests(ready), damaging=(1,))
    assert driver(ready, cluster, 3, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    ((name, left_out),) = [each for each in stored.machines.items() if each[1].state == "left out"]
    assert "does not match its checksum" in (left_out.reason or "")
    assert [loss.machine for loss in stored.losses] == [name]
    _, cells = run_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}
    assert name not in {cell.machine for cell in cells}


def test_an_answer_of_another_cell_is_not_taken_for_the_one_asked(ready, tmp_path, monkeypatch):
    cluster = SimulatedCluster(2, digests(ready))
    measure = cluster._measure

    def mistaken(node, order, left_s, patient):
        if node == "001.0":
            planned = msgspec.structs.replace(order.planned, id="conv.fake-1ms.cpu.b99")
            order = dataclasses.replace(order, planned=planned)
        return measure(node, order, left_s, patient)

    monkeypatch.setattr(cluster, "_measure", mistaken)
    assert driver(ready, cluster, 2, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    (left_out,) = [machine for machine in stored.machines.values() if machine.state == "left out"]
    assert "its answer is of conv.fake-1ms.cpu.b99" in (left_out.reason or "")
    assert {cell.status for cell in run_of(tmp_path / "fleet")[1]} == {"ok"}


@pytest.mark.parametrize("life_s", [30, 47, 61, 83, 101, 118])
def test_the_block_of_a_machine_that_does_not_come_back_is_measured_by_another(ready, tmp_path, monkeypatch, life_s):
    """However the end of the wait falls between two looks at the clock, which here goes on with each."""
    cluster = SimulatedCluster(2, digests(ready), never_back=True)
    open_, looks = cluster.open, itertools.count()

    def opened(node: str) -> None:
        open_(node)
        if node == "001.0":
            cluster._dies_s[node] = life_s

    monkeypatch.setattr(cluster, "open", opened)
    monkeypatch.setattr(time, "monotonic", lambda: cluster.now_s + 0.05 * next(looks))
    patience = Patience(poll_s=0.1, nodes_s=0.1, return_s=30.0)
    assert driver(ready, cluster, 3, tmp_path / "fleet", patience=patience).run()
    _, cells = run_of(tmp_path / "fleet")
    assert cluster.deaths == 1
    assert {cell.status for cell in cells} == {"ok"}
    assert all(len(found) == 1 for found in machines_of_units(cells).values())


def test_a_parity_record_that_was_not_asked_for_or_is_missing_proves_nothing(ready, tmp_path, monkeypatch):
    for number, wrong in enumerate((lambda records: records[1:], lambda records: [OTHER, *records[1:]])):
        cluster = SimulatedCluster(2, digests(ready))
        hold = cluster._hold

        def mistaken(node, pairs, hold=hold, wrong=wrong):
            seconds, records = hold(node, pairs)
            return seconds, wrong(records) if node == "001.0" else records

        monkeypatch.setattr(cluster, "_hold", mistaken)
        folder = tmp_path / str(number)
        assert driver(ready, cluster, 2, folder).run()
        stored = record.read(folder / FILE, Fleet)
        (left_out,) = [machine for machine in stored.machines.values() if machine.state == "left out"]
        assert ("nobody has asked for conv" if number else "no parity record of conv:") in (left_out.reason or "")
        assert len({cell.machine for cell in run_of(folder)[1]}) == 1


OTHER = record.encode(
    record.Parity(record.SCHEMA, "conv.fake-1ms.cpu.m7", "conv", "fake-1ms", "cpu", "", True, None, (), (), 1.0)
)


def test_what_was_judged_of_an_arm_stays_so_when_the_run_is_taken_up_again(ready, tmp_path):
    """Its first machine was alone when the arm failed there; one that came later passes it."""
    folder = tmp_path / "fleet"
    alone = SimulatedCluster(1, digests(ready), faulty={0: ("fake-10ms",)}, interrupted_after=40)
    with pytest.raises(KeyboardInterrupt):
        driver(ready, alone, 4, folder).run()
    assert driver(ready, SimulatedCluster(2, digests(ready), faulty={0: ("fake-10ms",)}), 4, folder).run()
    _, cells = run_of(folder)
    assert {cell.arm for cell in cells if cell.status == "failed"} == {"fake-10ms"}
    assert {cell.machine for cell in cells if cell.wall_s} == {"m1", "m2"}
    stored = record.read(folder / FILE, Fleet)
    assert {machine.state for machine in stored.machines.values()} == {"took part"}


def test_a_run_taken_up_again_waits_for_the_machine_of_a_block_before_it_measures_all_of_it_again(
    ready, tmp_path, monkeypatch
):
    folder = tmp_path / "fleet"
    with pytest.raises(KeyboardInterrupt):
        driver(ready, SimulatedCluster(2, digests(ready), interrupted_after=34), 2, folder).run()
    late = SimulatedCluster(2, digests(ready))
    monkeypatch.setattr(time, "monotonic", lambda: late.now_s)
    late.nodes = lambda: ["001.0"] if late.now_s < 110 else ["000.0", "001.0"]  # type: ignore[method-assign]
    assert driver(ready, late, 2, folder, patience=Patience(poll_s=0.1, nodes_s=0.1, first_s=0.0)).run()
    assert record.read(folder / FILE, Fleet).losses == ()
    assert not [cell.id for cell in run_of(folder)[1] if cell.tries]


@pytest.mark.parametrize("between", ["failed", "of another kind"])
def test_a_cell_that_tells_nothing_of_disturbances_does_not_clear_a_machine(ready, tmp_path, monkeypatch, between):
    cluster = SimulatedCluster(2, digests(ready))
    measure = cluster._measure

    def disturbed(node, order, left_s, patient):
        seconds, content = measure(node, order, left_s, patient)
        found = record.decode(content, Cell, "a cell", "none")
        if node == "001.0" and found.arm != "fake-1ms":
            rounds = even_cells.a_cell(found.arm, found.block, 10.0, phase="converge").pytest_benchmark
            changed = {"status": "failed"} if between == "failed" else {"pytest_benchmark": rounds}
            found = msgspec.structs.replace(found, **changed)
        return seconds, record.encode(found)

    monkeypatch.setattr(cluster, "_measure", disturbed)
    of_second = lambda found: found.machine == "m2" and found.arm == "fake-1ms"  # noqa: E731
    monkeypatch.setattr(launch, "disturbance", lambda found: "simulated" if of_second(found) else None)
    assert driver(ready, cluster, 3, tmp_path / "fleet").run()
    stored = record.read(tmp_path / "fleet" / FILE, Fleet)
    assert stored.machines["m2"].state == "retired"
    assert stored.machines["m2"].reason == "3 cells in a row were disturbed, the last one simulated"


def test_a_retired_machine_stays_so_when_the_run_is_taken_up_again(ready, tmp_path):
    folder = tmp_path / "fleet"
    driver(ready, SimulatedCluster(1, digests(ready)), 1, folder)  # its fleet.json
    stored = record.read(folder / FILE, Fleet)
    retired = Machine("000", "retired", reason="3 cells in a row were disturbed")
    record.write(folder / FILE, msgspec.structs.replace(stored, machines={"m1": retired}))
    assert driver(ready, SimulatedCluster(2, digests(ready)), 2, folder).run()
    stored = record.read(folder / FILE, Fleet)
    assert stored.machines["m1"] == retired
    assert {cell.machine for cell in run_of(folder)[1]} == {"m2"}


def test_a_class_whose_only_machine_never_got_so_far_as_to_measure_keeps_nobody_from_ending(ready, tmp_path):
    cluster = SimulatedCluster(3, digests(ready), kinds={2: "another"}, refusing=(2,))
    folder = tmp_path / "fleet"
    assert driver(ready, cluster, 2, folder).run()
    stored = record.read(folder / FILE, Fleet)
    assert stored.finished
    assert [each.reason for each in stored.machines.values() if each.state == "left out"] == ["simulated noise"]
    report.build(folder)
    text = (folder / "report.md").read_text()
    assert "2 machines measured, in 1 class;" in text
    assert "left out: simulated noise" in text


def test_further_blocks_are_planned_on_what_the_first_ones_say(ready, tmp_path):
    """And not because machines have nothing else to do."""
    cluster = SimulatedCluster(30, digests(ready))
    assert driver(ready, cluster, FIRST_LOOK, tmp_path / "fleet", most=60).run()
    run, cells = run_of(tmp_path / "fleet")
    assert max(cell.block for cell in run.plan) == FIRST_LOOK, "every interval is narrow: the figures do not scatter"
    assert len({cell.machine for cell in cells if cell.block}) == len(WORKLOADS) * FIRST_LOOK


@pytest.mark.parametrize(("address", "code", "said"), [
    ("", 2, "is no address; give auto"), ("local", 2, "is no address; give auto"),
    ("auto", 3, "pip install 'bench[cluster]'"),
])  # fmt: skip
def test_a_cluster_that_cannot_be_reached_is_one_line_and_measures_nothing(
    monkeypatch, capsys, tmp_path, address, code, said
):
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    out = tmp_path / "out"
    assert main(["run", "--cluster", address, "--data", "synthetic", "--out", str(out)]) == code
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1
    assert not list(out.glob("*"))
