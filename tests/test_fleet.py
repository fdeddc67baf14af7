"""A fleet's run on a real Ray cluster: nodes of this machine stand for machines, and are killed like them."""

import itertools
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import data_files
import harness
import pytest
from ray_nodes import TOKEN, Nodes
from report_shape import shape_of

from bench import record
from bench.catalogue import unit
from bench.fleet.record import FILE, Fleet, Machine
from bench.record import Cell

pytestmark = pytest.mark.fleet
PATIENT = TOKEN | {"FAKE_LIMIT_S": "60", "FAKE_BLOCKS": "3-3"}
"""Several nodes share the cores: none of their cells is to be taken for one that hangs."""
ARMS = ("fake-10ms", "fake-100ms", "fake-1ms")
WAITS = ("fake-10ms", "fake-waits", "fake-1ms")
END_S = 300.0


@contextmanager
def cluster_in(folder: Path, *names: str) -> Iterator[Nodes]:
    cluster = Nodes(folder)
    try:
        for name in names:
            cluster.start(name)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def nodes(tmp_path) -> Iterator[Nodes]:
    """A cluster whose only node is the head, which offers no processor."""
    with cluster_in(tmp_path / "nodes") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[str]:
    """The report of a fleet of three machines to which nothing happens, without what was measured."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with cluster_in(folder / "nodes", "a", "b", "c") as cluster:
        code, output = measure(folder / "fleet", *words(cluster, *WAITS))
    assert code == 0, output
    return shape(folder / "fleet")


def shape(folder: Path) -> list[str]:
    """Of the report of the fleet's only class; which blocks found caches empty depends on who measured which."""
    report = (class_of(folder) / "report.md").read_text()
    return [line for line in shape_of(report) if not line.startswith("| ran with cold")]


def words(
    nodes: Nodes, *arms: str, workloads: tuple[str, ...] = ("conv_only", "conv"), address: str | None = None
) -> list[str]:
    return ["run", "--cluster", address or nodes.direct, *harness.grid(*arms, profile="quick", workloads=workloads)]


def measure(folder: Path, *given: str, **more: str) -> tuple[int, str]:
    folder.mkdir(exist_ok=True)
    return harness.bench(folder, *given, **PATIENT, **more)


def fleet_of(folder: Path) -> tuple[Path, Fleet]:
    run = harness.only_run(folder)
    return run, record.read(run / FILE, Fleet)


def class_of(folder: Path) -> Path:
    """The folder of the fleet's only class."""
    run, stored = fleet_of(folder)
    (name,) = stored.classes
    return run / name


def cells_of(folder: Path) -> list[Cell]:
    return [cell for cell in harness.cells(class_of(folder)).values() if cell.block]


def states(stored: Fleet) -> dict[str, list[Machine]]:
    found: dict[str, list[Machine]] = {}
    for machine in stored.machines.values():
        found.setdefault(machine.state, []).append(machine)
    return found


def assert_paired(cells: list[Cell]) -> None:
    """All cells of a block of a workload on one machine."""
    for key, group in itertools.groupby(sorted(cells, key=unit), key=unit):
        assert len({cell.machine for cell in group}) == 1, key


def one_waits(nodes: Nodes) -> None:
    """The next cell of `fake-waits` waits until it is killed, and no other."""
    os.mkfifo(nodes.folder / "waiting.fifo")
    (nodes.folder / "token").touch()


def waiting(nodes: Nodes, process: "subprocess.Popen[str]") -> tuple[str, int]:
    """The node on which the cell waits now, and the cell's process."""
    fifo = nodes.folder / "waiting.fifo"
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        until_s = time.monotonic() + END_S
        while not poll.poll(1000):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until_s, "no cell of fake-waits was measured"
        name, pid = os.read(descriptor, 100).decode().split()
    finally:
        os.close(descriptor)
        fifo.unlink()
    return name, int(pid)


@contextmanager
def driving(folder: Path, *given: str, **more: str) -> "Iterator[subprocess.Popen[str]]":
    """A driver that is gone at the end, whatever comes."""
    folder.mkdir(exist_ok=True)
    process = harness.start(folder, *given, **PATIENT | more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_three_machines_measure_what_one_would_and_say_which(nodes, tmp_path):
    for name in ("a", "b", "c"):
        nodes.start(name)
    with driving(tmp_path / "fleet", *words(nodes, *ARMS, address=nodes.address)) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "  ok  " in line)
        with harness.every_core_busy():
            output, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0, said + output
    cells = cells_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}  # one fails where two are measured on a machine at once
    assert_paired(cells)
    assert len({cell.machine for cell in cells}) == 3
    _, stored = fleet_of(tmp_path / "fleet")
    assert list(states(stored)) == ["took part"]
    in_order = sorted(cells, key=lambda cell: (cell.machine, cell.workload, cell.contestant, cell.started))
    for _, group in itertools.groupby(in_order, key=lambda cell: (cell.machine, cell.workload, cell.contestant)):
        first, *others = [cell.cold for cell in group]
        assert (first, any(others)) == (True, False), "compile caches are a machine's own"
    code, output = measure(tmp_path / "local", "run", *words(nodes, *ARMS)[3:])
    assert code == 0, output
    alone = harness.cells(harness.only_run(tmp_path / "local"))
    assert {cell.id for cell in cells} == {cell.id for cell in alone.values() if cell.block}


def test_two_cells_at_once_on_a_machine_would_have_been_seen(tmp_path):
    """What the test above rests on."""
    import fcntl

    cache = tmp_path / "cache"
    cache.mkdir()
    with (cache / "alone").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        code, output = measure(tmp_path / "run", "run", *harness.grid("fake-1ms"), BENCH_CACHE_DIR=str(cache))
    assert code == 1, output
    assert "BlockingIOError" in output


def test_a_machine_that_dies_in_a_cell_costs_no_result_and_the_report_is_the_same(nodes, undisturbed, tmp_path):
    for name in ("a", "b", "c"):
        nodes.start(name)
    one_waits(nodes)
    with driving(tmp_path / "fleet", *words(nodes, *WAITS), FAKE_RETURN_S="5") as process:
        killed, _ = waiting(nodes, process)
        nodes.kill(killed)
        output, _ = process.communicate(timeout=END_S)
    assert process.returncode == 0, output
    cells = cells_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}
    assert_paired(cells)
    _, stored = fleet_of(tmp_path / "fleet")
    (loss,) = [loss for loss in stored.losses if not loss.measured]
    assert ".fake-waits." in loss.cell
    assert stored.machines[loss.machine].state == "gone"
    assert len(states(stored)["took part"]) == 2
    assert f"{loss.machine}: gone" in output
    assert shape(tmp_path / "fleet") == undisturbed


def test_a_killed_driver_is_taken_up_again_and_nothing_is_measured_twice(nodes, undisturbed, tmp_path):
    for name in ("a", "b", "c"):
        nodes.start(name)
    with driving(tmp_path / "fleet", *words(nodes, *WAITS)) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "  ok  " in line)
        one_waits(nodes)
        waiting(nodes, process)
    run, before = fleet_of(tmp_path / "fleet")
    there = {path.name: path.stat().st_mtime_ns for path in (class_of(tmp_path / "fleet") / "cells").glob("*.json")}
    code, output = measure(tmp_path / "fleet", "run", "--resume", str(run))
    assert code == 0, output
    cells = cells_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}
    assert_paired(cells)
    after = {path.name: path.stat().st_mtime_ns for path in (class_of(tmp_path / "fleet") / "cells").glob("*.json")}
    assert there, "something had been measured when it was killed"
    assert there.items() <= after.items(), "the machines are the same, so their blocks go on"
    _, stored = fleet_of(tmp_path / "fleet")
    assert stored.machines.keys() == before.machines.keys()
    assert stored.finished
    assert shape(tmp_path / "fleet") == undisturbed


@pytest.mark.proof
def test_an_interrupted_fleet_says_how_to_go_on(nodes, tmp_path):
    nodes.start("a")
    one_waits(nodes)
    with driving(tmp_path / "fleet", *words(nodes, *WAITS)) as process:
        waiting(nodes, process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=END_S)
    assert process.returncode == 130, output
    assert f"bench run --resume {harness.only_run(tmp_path / 'fleet').relative_to(tmp_path / 'fleet')}" in output
    _, stored = fleet_of(tmp_path / "fleet")
    assert (stored.finished, stored.ended_because) == (None, "interrupted")


@pytest.mark.proof
@pytest.mark.parametrize("through", ["the head's server for clients", "a node"])
def test_a_head_that_dies_interrupts_the_run_which_another_cluster_takes_up(tmp_path, through):
    with cluster_in(tmp_path / "first", "a", "b") as cluster:
        one_waits(cluster)
        address = cluster.direct if through == "a node" else cluster.address
        with driving(tmp_path / "fleet", *words(cluster, *WAITS, address=address)) as process:
            waiting(cluster, process)
            cluster.kill("head")
            output, _ = process.communicate(timeout=END_S)
    assert process.returncode == 130, output
    assert "does not answer any more" in output
    assert "Traceback" not in output
    run = harness.only_run(tmp_path / "fleet")
    assert f"bench run --resume {run.relative_to(tmp_path / 'fleet')}" in output
    with cluster_in(tmp_path / "second", "a", "b") as cluster:
        code, output = measure(tmp_path / "fleet", "run", "--resume", str(run), "--cluster", cluster.direct)
    assert code == 0, output
    cells = cells_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}
    assert_paired(cells)


@pytest.mark.proof
def test_a_driver_without_the_clusters_token_is_refused_in_one_line(nodes, tmp_path):
    for address in (nodes.address, nodes.direct):
        code, output = harness.bench(tmp_path, *words(nodes, "fake-10ms", address=address))
        assert code == 2, output
        assert "no Ray cluster that can be used" in output
        assert "Traceback" not in output


def test_a_machine_with_other_data_or_another_bench_is_named_and_left_out(nodes, tmp_path):
    for seed, name in enumerate(("same", "other")):
        (tmp_path / name).mkdir()
        data_files.write_jena(tmp_path / name / "jena_climate_2009_2016.csv", data_files.jena_lines(seed=seed))
    another = tmp_path / "another-bench"
    for package in ("bench", "impl_keras", "impl_torch"):
        shutil.copytree(harness.ROOT / package, another / package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = another / "bench" / "stats.py"
    changed.write_text(changed.read_text() + "\n# another one\n")
    nodes.start("a", BENCH_DATA_DIR=str(tmp_path / "same"))
    nodes.start("b", BENCH_DATA_DIR=str(tmp_path / "other"))
    nodes.start("c", PYTHONPATH=os.pathsep.join((str(harness.FAKES), str(another))))
    given = [word if word != "synthetic" else "real" for word in words(nodes, "fake-10ms", workloads=("conv_only",))]
    code, output = measure(tmp_path / "fleet", *given, BENCH_DATA_DIR=str(tmp_path / "same"))
    assert code == 0, output
    _, stored = fleet_of(tmp_path / "fleet")
    reasons = sorted(machine.reason or "" for machine in states(stored)["left out"])
    assert [reason.partition(" ")[2][:13] for reason in reasons] == ["bench is anot", "data of conv_"]
    assert len(states(stored)["took part"]) == 1
    assert {cell.status for cell in cells_of(tmp_path / "fleet")} == {"ok"}
    report = (harness.only_run(tmp_path / "fleet") / "report.md").read_text()
    assert report.count("left out: its") == 2


@pytest.mark.proof
def test_a_machine_that_stays_disturbed_is_retired_and_its_blocks_go_to_another(nodes, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: nothing can disturb one machine and not the other")
    calm, loud = sorted(os.sched_getaffinity(0))[:2]
    nodes.start("calm", core=calm)
    nodes.start("loud", core=loud)
    one_waits(nodes)
    with driving(tmp_path / "fleet", *words(nodes, "fake-100ms", "fake-waits"), FAKE_DISTURBED="3") as process:
        _, pid = waiting(nodes, process)  # both have joined
        spin = subprocess.Popen(["taskset", "-c", str(loud), "sh", "-c", "while :; do :; done"])
        try:
            os.kill(pid, signal.SIGKILL)  # the cell is tried again
            output, _ = process.communicate(timeout=END_S)
        finally:
            spin.kill()
            spin.wait()
    assert process.returncode == 0, output
    _, stored = fleet_of(tmp_path / "fleet")
    (retired,) = states(stored)["retired"]
    assert "other processes used" in (retired.reason or "")
    cells = cells_of(tmp_path / "fleet")
    assert {cell.status for cell in cells} == {"ok"}
    assert_paired(cells)


@pytest.mark.proof
def test_a_machine_that_is_not_quiet_is_left_out_with_what_the_doctor_says(nodes, tmp_path):
    nodes.start("a")
    with harness.every_core_busy():
        code, output = measure(tmp_path / "fleet", *words(nodes, "fake-10ms"), FAKE_LOOKS="1", FAKE_RETURN_S="5")
    assert code == 3, output
    assert "no machine of it could measure (m1: bench doctor, other processes: " in output
