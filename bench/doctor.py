"""`bench doctor`: what this machine is, what disturbs it now, which arms can run on it, and a cure for the rest."""

import os
import shutil
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import bill, caches, checkup, cuda, environment, gpu, implementation, interpreters, probe, record, sentinel
from bench.checkup import Busy
from bench.energy import Meter
from bench.errors import BenchError
from bench.implementation import Device

LOOK_S = 1.0
"""How long the machine is watched."""


def examine(device: Device, out: Path, console: Console) -> None:
    """Prints everything there is to say; a MachineError, and nothing else, when `device` cannot be used.

    Arms that cannot run are holes with their cure, not an error: what asks may be about to install them.
    """
    if device == "gpu":
        gpu.require()
        cuda.require_shared_memory()
        cuda.require(arm for arm in implementation.declared() if device in arm.devices)
    found = environment.describe()
    facts = Table("machine", "", show_header=False)
    for name, value in found.items():
        facts.add_row(name, _shown(name, value))
    facts.add_row("C++ compiler", escape(probe.compiler_problem() or "works"))
    for name, folder in (("space for results", out), ("space for caches", caches.root())):
        facts.add_row(name, escape(f"{shutil.disk_usage(caches.nearest(folder)).free / 1e9:.1f} GB in {folder}"))
    console.print(facts)

    checks = Table("check", "found", "verdict", "cure")
    for check in look(device):
        checks.add_row(check.name, escape(check.found), check.verdict, escape(check.cure))
    console.print(checks)

    arms = Table("arm", "tier", "versions", f"on {device}")
    for name, arm in implementation.arms(device).items():
        try:
            reason = interpreters.hole(arm, device)
            versions = ", ".join(
                f"{package} {version}" for package, version in interpreters.summary(arm.framework).items()
            )
        except BenchError as error:
            reason, versions = str(error), ""
        arms.add_row(name, arm.tier, versions, "ready" if reason is None else escape(f"hole: {reason}"))
    console.print(arms)
    bill.show(console)


def look(device: Device) -> list[checkup.Check]:
    """Watches the machine for a moment and judges it as it would be judged during a measurement."""
    cores = sorted(os.sched_getaffinity(0))
    watch = sentinel.Sentinel(cores, device)
    before_s, before = _cpu_s(), watch.read()
    time.sleep(LOOK_S)
    after, after_s = watch.read(), _cpu_s()
    window = watch.window(before, after, before.at_s)
    length_s = after.at_s - before.at_s
    busy = [
        Busy(pid, name, (used_s - before_s.get(pid, (name, 0.0))[1]) / length_s)
        for pid, (name, used_s) in after_s.items()
    ]
    checks = checkup.of_cpu(window, busy, cores) + checkup.of_memory(window) + [checkup.of_energy(Meter(device))]
    handle = gpu.selected() if device == "gpu" else None
    return checks if handle is None else checks + checkup.of_gpu(handle, window)


def _cpu_s() -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process but this one, by id."""
    found = {}
    for process in psutil.process_iter(("name", "cpu_times")):
        times = process.info["cpu_times"]
        if times is not None and process.pid != os.getpid():
            found[process.pid] = process.info["name"] or "?", times.user + times.system
    return found


def _shown(name: str, value: object) -> str:
    if value is None:
        return "none" if name in record.ABSENT else "unknown"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 2**30:.1f} GiB"
    return escape(str(value))
