"""Child processes in groups of their own: started, waited for without polling, and ended whole.

Linux only: process file descriptors and the parent-death signal.
"""

import contextlib
import ctypes
import math
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
"""Signals a program does not send itself: from the kernel when memory ends, or from whoever sits at the machine."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
TAIL_LINES = 60  # the crash report of a native signal is about 45 long, its cause at the top
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Child:
    """A running process and where its output goes."""

    popen: "subprocess.Popen[bytes]"
    output: Path
    started_s: float
    """Of the monotonic clock."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    returncode: int
    """Negative: the signal that ended it."""
    killed: bool
    """By this module, because its time was up."""
    wall_s: float
    peak_memory_bytes: int | None
    """Most memory it held resident; None where that cannot be told from what this process held when it was started."""

    @property
    def killed_from_outside(self) -> bool:
        """Something else than this module and the program itself has ended it."""
        return not self.killed and signal_name(self.returncode) in OUTSIDE


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: Path,
    data_limit_bytes: int | None = None,
) -> Child:
    """Starts `command` in `folder` as leader of a new session; standard output and error go to `output`.

    `data_limit_bytes` bounds its private writable memory (RLIMIT_DATA): past it, allocations fail in the child instead
    of driving the machine into swapping.
    """
    with output.open("wb") as stream:
        started_s = time.monotonic()
        popen = subprocess.Popen(  # noqa: S603 (no shell; the command is the suite's own)
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _bound(popen.pid, data_limit_bytes)
    return Child(popen, output, started_s)


def _bound(pid: int, data_limit_bytes: int | None) -> None:
    """Limits what the child may allocate, and has the kernel choose it first when memory runs out all the same."""
    with contextlib.suppress(ProcessLookupError):  # it has ended already; whoever collects it will say how
        if data_limit_bytes is not None:
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            limit = data_limit_bytes if hard == resource.RLIM_INFINITY else min(data_limit_bytes, hard)
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
    with contextlib.suppress(OSError):  # a kernel that will not be told chooses by size: the cell again, most often
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def first_ended(children: Sequence[Child], until_s: float) -> Child | None:
    """Sleeps until one of the children has ended, or until `until_s` of the monotonic clock: then None."""
    poll = select.poll()
    by_descriptor: dict[int, Child] = {}
    try:
        for child in children:
            descriptor = os.pidfd_open(child.popen.pid)
            by_descriptor[descriptor] = child
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(max(0.0, until_s - time.monotonic()) * 1000)
        return by_descriptor[ready[0][0]] if ready else None
    finally:
        for descriptor in by_descriptor:
            os.close(descriptor)


def end(child: Child) -> Ended:
    """Ends the child if it still runs, with everything it started, and collects it."""
    # A leader that has ended stays a zombie until it is waited for, so its number cannot belong to another group yet.
    running = os.waitid(os.P_PID, child.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    stray = _descendants(child.popen.pid)
    try:
        os.killpg(child.popen.pid, signal.SIGKILL)
    except ProcessLookupError:
        running = False
    _, status, usage = os.wait4(child.popen.pid, 0)
    wall_s = time.monotonic() - child.started_s
    returncode = child.popen.returncode = os.waitstatus_to_exitcode(status)
    for process in stray:  # those that made a session of their own
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    # Until its exec, a child counts the memory of the process it was forked from.
    own_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak_bytes = usage.ru_maxrss * 1024
    return Ended(returncode, running, wall_s, peak_bytes if peak_bytes > own_bytes else None)


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: Path,
    limit_s: float,
    until_s: float = math.inf,
    progress: Callable[[], object] = lambda: None,
    data_limit_bytes: int | None = None,
) -> Ended:
    """Starts `command`, waits for it at most `limit_s`, and ends it whatever happens.

    The time begins anew as often as it is over and `progress()` is another than before: what gets on does not hang. At
    `until_s` of the monotonic clock it is ended all the same.
    """
    before = progress()
    child = start(command, environment=environment, folder=folder, output=output, data_limit_bytes=data_limit_bytes)
    begun_s = child.started_s
    try:
        while first_ended([child], min(until_s, begun_s + limit_s)) is None and time.monotonic() < until_s:
            if (now := progress()) == before:
                break
            begun_s, before = time.monotonic(), now
    finally:
        ended = end(child)
    return ended


def tail(output: Path) -> str:
    """The last lines of a child's output."""
    with output.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - TAIL_BYTES))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def last_word(output: Path) -> str:
    """The line of a child's output that most likely says why it ended: the last that names an error, else the last."""
    lines = [line.removeprefix("E ").strip() for line in tail(output).splitlines() if line.strip()] or ["no output"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])[:300]


def signal_name(returncode: int) -> str | None:
    """`SIGSEGV` for -11; None for a process that ended by itself."""
    if returncode >= 0:
        return None
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def die_with_parent(parent: int) -> None:
    """Asks the kernel to end this process when `parent`, which started it, is gone. Call it first thing in a child."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it was gone before the kernel knew what to do about it
        os.kill(os.getpid(), signal.SIGKILL)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
