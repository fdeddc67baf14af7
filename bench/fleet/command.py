"""`bench run --cluster`: a fleet's run from its options to its report, new or taken up again."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from bench import contest, handover, launch, prepare, record, runfolder
from bench.contest import Contest, Options
from bench.display.fleet import FleetDisplay
from bench.errors import MachineError, UsageError
from bench.execution import Setting
from bench.fleet.cluster import Cluster, ClusterLostError, RayCluster
from bench.fleet.driver import Driver
from bench.fleet.record import FILE, SCHEMA, Fleet
from bench.interpreters import probe_self
from bench.interrupt import INTERRUPTED
from bench.runner import FULL, Then


def run(options: Options, address: str, console: Console, setting: Setting, then: Then) -> int:
    """Measures what `options` ask for on the machines of the cluster, into a new folder; the exit code."""
    ready = contest.contest(options, setting.profiles[options.profile])  # what is named wrong shows before anything
    runfolder.check_writable(options.out)
    with _connected(address) as cluster, FleetDisplay(console) as display:
        fleet_id = runfolder.new_id()
        work = runfolder.work_folder(fleet_id)
        try:
            prepared, workloads = prepare.prepare(ready, work / "driver", display)
            folder = options.out / fleet_id
            folder.mkdir()
        except BaseException:  # nothing was measured: leave nothing behind, whatever ended it
            shutil.rmtree(work, ignore_errors=True)
            raise
        stored = Fleet(
            schema=SCHEMA,
            id=fleet_id,
            started=runfolder.now(),
            command=options.command,
            device=options.device,
            cluster=address,
            classes={},
            machines={},
        )
        record.write(folder / FILE, stored)
        display.say(f"fleet {fleet_id}: into {folder}")
        with runfolder.locked(folder):
            code = _execute(cluster, stored, folder, ready, prepared, workloads, setting, display)
    then(folder)
    return code


def resume(
    folder: Path,
    stored: Fleet,
    options: Options,
    address: str | None,
    console: Console,
    setting: Setting,
    then: Then,
) -> int:
    """Measures what is missing of a stored fleet's run, under its own options; the exit code."""
    ready = contest.contest(options, setting.profiles[options.profile])
    runfolder.check_writable(folder)
    if stored.finished is not None and not any(_missing(folder / class_id) for class_id in stored.classes):
        with FleetDisplay(console) as display:
            display.say(f"fleet {stored.id} is finished, nothing of it is missing; writing the report")
            code = _report(stored, folder, display)
        then(folder)
        return code
    with runfolder.locked(folder), _connected(address or stored.cluster) as cluster, FleetDisplay(console) as display:
        prepared, workloads = prepare.prepare(ready, runfolder.work_folder(stored.id) / "driver", display)
        for class_id in stored.classes:
            if (path := folder / class_id / "run.json").exists():
                _check_same(record.read(path, record.Run), workloads)
        display.say(f"fleet {stored.id}: taken up again, {len(stored.machines)} machines were known")
        code = _execute(cluster, stored, folder, ready, prepared, workloads, setting, display)
    then(folder)
    return code


def _missing(folder: Path) -> bool:
    """Whether cells of the class's run are missing, or all of it."""
    if not (folder / "run.json").exists():
        return True
    run = record.read(folder / "run.json", record.Run)
    return run.finished is None or bool(runfolder.missing(folder, run))


def _check_same(run: record.Run, workloads: Mapping[str, record.Workload]) -> None:
    """Of a class; its machines show themselves whether they are of it."""
    runfolder.check_same_data(run, workloads)
    if run.environment.get("code_digest") != probe_self():
        raise UsageError(f"--resume {run.id}: was measured with another bench than this one; start a new run")


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Cluster]:
    cluster = RayCluster(address)
    try:
        yield cluster
    finally:
        cluster.shut()


def _execute(
    cluster: Cluster,
    stored: Fleet,
    folder: Path,
    ready: Contest,
    prepared: Mapping[str, launch.Prepared],
    workloads: dict[str, record.Workload],
    setting: Setting,
    display: FleetDisplay,
) -> int:
    driver = Driver(cluster, stored, folder, ready, prepared, workloads, setting, display)
    try:
        whole = driver.run()
    except KeyboardInterrupt:
        display.say(f"interrupted; everything measured is kept. Resume with: {handover.resume(folder)}")
        return INTERRUPTED
    except ClusterLostError as error:
        display.say(f"interrupted: {error}; everything measured is kept. Resume with: {handover.resume(folder)}")
        return INTERRUPTED
    except OSError as error:
        if error.errno not in FULL:
            raise
        display.say(
            f"interrupted: {folder}: results cannot be written any more ({error.strerror}); everything measured before "
            f"is kept. Free some space and resume: {handover.resume(folder)}"
        )
        return INTERRUPTED
    if not any(any((folder / class_id / "cells").glob("*.json")) for class_id in driver.fleet.classes):
        reasons = "; ".join(f"{name}: {machine.reason}" for name, machine in driver.fleet.machines.items())
        raise MachineError(f"--cluster {cluster.address}: no machine of it could measure ({reasons or 'none came'})")
    display.say(f"{driver.fleet.ended_because}; writing the report")
    if whole:
        shutil.rmtree(runfolder.work_folder(stored.id), ignore_errors=True)
    return _report(driver.fleet, folder, display)


def _report(fleet: Fleet, folder: Path, display: FleetDisplay) -> int:
    """Writes the reports and says where they are; the exit code."""
    from bench.report import fleet as report  # pandas and matplotlib, loaded only after everything is measured
    from bench.report.folder import load

    built, failed = report.build(folder), False
    for name in fleet.classes:
        if (folder / name / "run.json").exists():
            found = load(folder / name)
            failed |= any(cell.status == "failed" for cell in found.everything)
            for line in handover.cautions(found.run, found.everything, folder / name):
                display.say(f"{name}: {line}")
    for line in handover.pages(built):
        display.say(line)
    if fleet.finished is None:
        display.say(f"resume with: {handover.resume(folder)}")
    return int(failed or fleet.finished is None)
