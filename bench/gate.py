"""Parity before any clock starts: one process for each workload and arm, side by side, none of them timed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import process, record
from bench.errors import UsageError
from bench.record import Parity

LIMIT_S = 900
"""Of one parity process; several times what the slowest takes with a cold compile cache on two cores."""
PROCESS_BYTES = 1_500_000_000
"""Host memory allowed for each process when several run side by side."""


@dataclass(frozen=True)
class Check:
    """One parity process to run."""

    id: str
    workload: str
    arm: str
    device: str
    digest: str
    command: Sequence[str]
    environment: dict[str, str]


def parity_command(python: str, workload: str, arm: str, device: str, out: Path, settings: dict[str, str]) -> list[str]:
    """The command that holds an arm against the reference and writes its record to `out`.

    `workload` is a key, with its settings; `settings` are further options by name: threads and parent.
    """
    options = [f"--{name}={value}" for name, value in settings.items()]
    named = ["--workload", workload, "--arm", arm, "--device", device, "--out", str(out)]
    return [python, "-P", "-m", "bench.parity", *named, *options]


def side_by_side(cores: int, memory_limit_bytes: int, devices: int = 1) -> int:
    """How many checks may run at a time, each on so many devices at most, with a process for each of them."""
    return max(1, min(cores // devices, memory_limit_bytes // (devices * PROCESS_BYTES)))


def run_all(
    checks: Sequence[Check], folder: Path, work: Path, parallel: int, until_s: float, done: Callable[[Parity], None]
) -> None:
    """Runs the checks, `parallel` at a time, and leaves `folder/<id>.json` for each, also for one that crashed.

    `until_s`, of the monotonic clock, is the end of the run's budget: checks not finished by then leave no record.
    """
    waiting, running = list(checks), dict[str, tuple[Check, process.Child]]()
    again: set[str] = set()
    """Those that something outside of them has killed once: tried once more."""
    try:
        while (waiting or running) and time.monotonic() < until_s:
            while waiting and len(running) < parallel:
                check = waiting.pop(0)
                output = work / f"parity-{check.id}.log"
                child = process.start(check.command, environment=check.environment, folder=work, output=output)
                running[check.id] = check, child
            limit_s = min(until_s, *(child.started_s + LIMIT_S for _, child in running.values()))
            process.first_ended([child for _, child in running.values()], limit_s)
            for check, child in list(running.values()):
                late = time.monotonic() >= child.started_s + LIMIT_S
                if late or process.first_ended([child], 0.0):
                    del running[check.id]
                    ended = process.end(child)
                    if ended.killed_from_outside and check.id not in again:
                        again.add(check.id)
                        waiting.append(check)
                        continue
                    done(_collect(check, ended, child, folder))
    finally:
        for _, child in running.values():
            process.end(child)


def _collect(check: Check, ended: process.Ended, child: process.Child, folder: Path) -> Parity:
    """The record the process wrote; else one that says how it ended."""
    path = folder / f"{check.id}.json"
    if not ended.killed and ended.returncode in (0, 1) and path.exists():
        try:
            found = record.read(path, Parity)
        except UsageError as error:
            return _write_crash(check, f"its record cannot be read: {error}", ended, path)
        if found.digest == check.digest and found.passed == (ended.returncode == 0):
            return found
        return _write_crash(check, f"exit code {ended.returncode} and digest {found.digest} contradict", ended, path)
    if ended.killed:
        how = f"not done after {LIMIT_S} s"
    else:
        how = process.signal_name(ended.returncode) or f"exit code {ended.returncode}"
        how = f"{how}: {process.last_word(child.output)}"
    return _write_crash(check, f"the parity process ended without a verdict ({how})", ended, path)


def _write_crash(check: Check, reason: str, ended: process.Ended, path: Path) -> Parity:
    crash = Parity(
        schema=record.SCHEMA,
        id=check.id,
        workload=check.workload,
        arm=check.arm,
        device=check.device,
        digest=check.digest,
        passed=False,
        reason=reason,
        checks=(),
        notes=(),
        wall_s=ended.wall_s,
    )
    record.write(path, crash)
    return crash
