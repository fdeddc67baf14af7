"""One run from its options to its report: new or taken up again.

Nothing here measures. A failing cell is a recorded result and the rest goes on; whatever ends the run, what was
measured stays, and `resume` measures exactly what is missing.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from bench import (
    contest,
    cuda,
    environment,
    gate,
    gpu,
    handover,
    interpreters,
    launch,
    plan,
    prepare,
    record,
    runfolder,
    schedule,
)
from bench.contest import Contest, Options, Part
from bench.display.progress import Display
from bench.errors import MachineError
from bench.estimate import Estimator
from bench.execution import Execution, Setting
from bench.implementation import Arm
from bench.interrupt import INTERRUPTED
from bench.profiles import Profile
from bench.record import Cell, Run

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""A disk that has become full, or that the kernel has made read-only, while the run went on."""
Then = Callable[[Path], None]
"""What is done with the folder of a run that has ended, in whatever way."""


class Planned(NamedTuple):
    """What `run` would measure."""

    ready: Contest
    estimator: Estimator
    cells: tuple[record.PlannedCell, ...]
    notes: tuple[str, ...]
    """What was decided about it; stays with the run."""
    outlook: str | None
    """What is to be feared by estimate; the run itself will tell."""


def planned(options: Options, setting: Setting) -> Planned:
    """The grid `run` would measure under these options.

    Asks the machine for holes but not for the device, so that a plan can be made anywhere.
    """
    profile = setting.profiles[options.profile]
    ready, threads = resolve(options, profile), environment.cpu_budget()
    estimator = estimator_of(ready, profile, threads, setting)
    cells = plan.grid(ready, profile, estimator)
    parallel = gate.side_by_side(threads, environment.memory_limit_bytes(), ready.most_devices)
    parity_s = plan.parity_total_s(ready, parallel, setting.assumptions.parity_s)
    budget_s = plan.budget_s(options, profile)
    cells, note = plan.fit(cells, budget_s, parity_s, estimator)
    replaced = options.control if options.control in ready.holes else None
    changed = replaced and f"--control {replaced} cannot run here: the control is {ready.control or 'missing'}"
    outlook = plan.too_short(cells, budget_s, parity_s)
    return Planned(ready, estimator, cells, tuple(filter(None, (note, changed))), outlook)


def run(options: Options, console: Console, setting: Setting, then: Then = lambda folder: None) -> int:
    """Measures what `options` ask for into a new folder; the exit code. Call it within `interruptible`."""
    # What is named wrong shows before a folder is made.
    chosen = contest.contest(options, setting.profiles[options.profile])
    if options.device == "gpu":
        gpu.require()
        cuda.require_shared_memory()
    runfolder.check_writable(options.out)
    if options.device == "gpu":
        cuda.require(chosen.arms.values())
    require_devices(chosen)
    ready, estimator, cells, notes, outlook = planned(options, setting)
    run_id = runfolder.new_id()
    work = runfolder.work_folder(run_id)
    with Display(console) as display:
        try:
            prepared, workloads = prepare.prepare(ready, work, display)
            made = new_run(run_id, ready, setting.profiles[options.profile], workloads, cells, machine(ready), notes)
            folder = runfolder.create(options.out, made)
        except BaseException:  # nothing was measured: leave nothing behind, whatever ended it
            shutil.rmtree(work, ignore_errors=True)
            raise
        display.say(f"run {run_id}: {len(cells)} cells planned, {environment.cpu_budget()} CPU threads, into {folder}")
        for note in filter(None, (*notes, outlook)):
            display.say(note)
        with runfolder.locked(folder):
            code = _execute(made, folder, ready, work, prepared, estimator, setting, display, used_s=0.0, part=Part())
    then(folder)
    return code


def new_run(
    run_id: str,
    ready: Contest,
    profile: Profile,
    workloads: dict[str, record.Workload],
    cells: tuple[record.PlannedCell, ...],
    environment: dict[str, Any],
    notes: Sequence[str],
) -> Run:
    """The record of a run that has measured nothing yet."""
    options = ready.options
    return Run(
        schema=record.SCHEMA,
        id=run_id,
        started=runfolder.now(),
        command=options.command,
        profile=options.profile,
        device=options.device,
        seed=options.seed,
        budget_s=plan.budget_s(options, profile),
        arms={
            name: record.Arm(arm.framework, arm.tier, _settings(arm, ready), ready.holes.get(name))
            for name, arm in ready.arms.items()
        },
        workloads=workloads,
        plan=cells,
        environment=environment,
        notes=tuple(notes),
        margin=options.margin,
        control=None if profile.converge else ready.control,
    )


def _settings(arm: Arm, ready: Contest) -> dict[str, str]:
    """What distinguishes the arm, for the report."""
    several = {"several devices": arm.engine or f"none: {arm.single}"} if ready.most_devices > 1 else {}
    return dict(arm.settings) | several


def resume(
    folder: Path,
    stored: Run,
    options: Options,
    console: Console,
    setting: Setting,
    part: Part,
    then: Then = lambda folder: None,
) -> int:
    """Measures the missing cells of a stored run, or those of them in `part`, under its own options; the exit code."""
    part.check(stored)
    if options.device == "gpu":
        gpu.require()
        cuda.require_shared_memory()
    runfolder.check_writable(folder)
    with runfolder.locked(folder), Display(console) as display:
        code = _take_up(folder, stored, options, setting, display, part)
    then(folder)
    return code


def _take_up(folder: Path, stored: Run, options: Options, setting: Setting, display: Display, part: Part) -> int:
    runfolder.sweep(folder)
    if stored.finished is not None and not runfolder.missing(folder, stored):
        cells = [record.read(folder / "cells" / f"{cell.id}.json", Cell) for cell in stored.plan]
        display.say(f"run {stored.id} is finished, nothing of it is missing; writing the report")
        return _report(stored, cells, folder, display)
    profile = setting.profiles[options.profile]
    ready = resolve(options, profile)
    if options.device == "gpu":
        cuda.require(ready.arms.values())
    require_devices(ready)
    work = runfolder.work_folder(stored.id)
    prepared, workloads = prepare.prepare(ready, work, display)
    runfolder.check_same(stored, workloads, machine(ready))
    estimator = estimator_of(ready, profile, environment.cpu_budget(), setting)
    missing = runfolder.missing(folder, stored)
    there = len(stored.plan) - len(missing)
    wanted = sum(cell in part for cell in missing)
    what = "the others" if wanted == len(missing) else f"{wanted} of the others"
    display.say(f"run {stored.id}: {there} of {len(stored.plan)} cells are there, measuring {what}")
    return _execute(stored, folder, ready, work, prepared, estimator, setting, display, used_s=stored.used_s, part=part)


def resolve(options: Options, profile: Profile) -> Contest:
    """Resolves the names and asks every arm's interpreter whether it can run."""
    arms = contest.contest(options, profile).arms
    holes = {name: reason for name, arm in arms.items() if (reason := interpreters.hole(arm, options.device))}
    return contest.contest(options, profile, holes)


def machine(ready: Contest) -> dict[str, Any]:
    """What this machine is, with the interpreters of the arms, for the result."""
    frameworks = sorted({arm.framework for arm in ready.arms.values()})
    each = environment.cpu_budget() // ready.most_devices
    of_devices = {"threads_per_device": each} if ready.most_devices > 1 and ready.options.device == "cpu" else {}
    return (
        environment.describe()
        | of_devices
        | {
            "code_digest": interpreters.probe_self(),
            "interpreters": {name: interpreters.summary(name) for name in frameworks},
        }
    )


def estimator_of(ready: Contest, profile: Profile, threads: int, setting: Setting) -> Estimator:
    """Of cells on a machine with so many threads."""
    return Estimator(
        workloads=dict(ready.workloads),
        cores=threads,
        rounds=profile.rounds,
        steps_per_round=profile.steps_per_round[ready.options.device],
        assumptions=setting.assumptions,
    )


def _execute(
    stored: Run,
    folder: Path,
    ready: Contest,
    work: Path,
    prepared: Mapping[str, launch.Prepared],
    estimator: Estimator,
    setting: Setting,
    display: Display,
    used_s: float,
    part: Part,
) -> int:
    """Parity, then the missing cells, then the report. The budget runs from here: data is on this machine by now."""
    display.entered(stored)
    shared = shared_by(ready, setting, work)
    deadline_s = None if stored.budget_s is None else time.monotonic() + stored.budget_s - used_s
    under_way = Execution(
        stored,
        folder,
        ready,
        shared,
        {**prepared, record.CEILING: launch.BARE},
        estimator,
        setting,
        display,
        deadline_s,
        part,
    )
    allowed = os.sched_getaffinity(0)
    try:
        # Children inherit it. Where a quota is tighter than the mask, they would start threads for all of the mask.
        os.sched_setaffinity(0, environment.idle_cores(shared.threads))
        schedule.run_parity(under_way)
        schedule.run_cells(under_way)
        cells = schedule.finish(under_way)
        display.say(f"{under_way.run.ended_because}; writing the report")
        return _report(under_way.run, cells, folder, display)
    except KeyboardInterrupt:
        if under_way.run.finished is None:  # else it was the report that was interrupted
            under_way.update(ended_because="interrupted")
        cure = handover.resume(folder)
        display.say("interrupted; everything measured is kept" + (f". Resume with: {cure}" if cure else ""))
        return INTERRUPTED
    except OSError as error:
        if error.errno not in FULL:
            raise
        display.say(
            f"interrupted: {folder}: results cannot be written any more ({error.strerror}); everything measured before "
            f"is kept. Free some space and resume: {handover.resume(folder)}".removesuffix(": ")
        )
        return INTERRUPTED
    finally:
        os.sched_setaffinity(0, allowed)


def require_devices(ready: Contest) -> None:
    """Raises a MachineError unless this machine has as many devices as a workload asks for, and what they need.

    On a CPU, a device is an equal part of its cores.
    """
    most, device = ready.most_devices, ready.options.device
    there = len(gpu.visible()) if device == "gpu" else environment.cpu_budget()
    if most > max(1, there):
        what = "visible GPU(s)" if device == "gpu" else "CPU thread(s) allowed, and each needs one"
        raise MachineError(f"{most} devices asked for: only {there} {what}; name fewer devices")
    if device == "gpu" and most > 1:
        cuda.require_shared_memory(least_bytes=cuda.SHM_BYTES_OF_SEVERAL)


def shared_by(ready: Contest, setting: Setting, work: Path, name: str = "") -> launch.Launch:
    """What all cells share that are measured on this machine, which has a name in a fleet."""
    options = ready.options
    return launch.Launch(
        profile=setting.profiles[options.profile],
        work=work,
        threads=environment.cpu_budget(),
        seed=options.seed,
        device=options.device,
        data_limit_bytes=_data_limit_bytes(options, setting),
        least_limit_s=setting.least_limit_s,
        machine=name,
        most_devices=ready.most_devices,
    )


def _data_limit_bytes(options: Options, setting: Setting) -> int | None:
    """None on a GPU: there, address space is reserved by the gigabyte without being used."""
    return None if options.device == "gpu" else setting.data_limit_bytes or environment.memory_limit_bytes()


def _report(stored: Run, cells: Sequence[Cell], folder: Path, display: Display) -> int:
    """Shows the verdicts of a finished run, writes its report and says where it is; the exit code."""
    display.now("writing the report", len(cells), len(cells))
    display.verdicts(stored, cells)
    from bench import report  # pandas and matplotlib, loaded only after everything is measured and shown

    pages = handover.pages(report.build(folder))
    for line in (*handover.cautions(stored, cells, folder), *pages):
        display.say(line)
    return int(any(cell.status == "failed" for cell in cells))
