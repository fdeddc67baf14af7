"""Counters of the kernel, read again and again: every file is opened once, and a reading costs microseconds.

A file that is not there or may not be read gives no value, now and later.
"""

import os
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.environment import cgroup_folders

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
"""/proc/stat counts in these, most often 10 ms."""
FREQUENCY_CORES = 4
"""Cores whose frequency is read: some kernels take milliseconds for each."""


class Counters:
    """The kernel's files about `cores` and about all of the machine's memory."""

    def __init__(self, cores: Sequence[int], root: Path) -> None:
        cpus = root / "sys/devices/system/cpu"
        first = cores[0] if cores else 0
        self._cores = frozenset(b"cpu%d" % core for core in cores)
        self._stat = _File(root / "proc/stat")
        self._memory = _File(root / "proc/meminfo")
        self._vm = _File(root / "proc/vmstat")
        self._stall = _File(root / "proc/pressure/memory")
        groups = dict.fromkeys((*cgroup_folders(root, ""), *cgroup_folders(root, "cpu")))
        # Reading the root group of version 2 costs more than all else, and it is never throttled.
        of_groups = _there(group / "cpu.stat" for group in groups)
        self._groups = [file for file in of_groups if _throttled_s(file.read()) is not None]
        self._heat = _there(
            (
                *(cpus / f"cpu{core}/thermal_throttle/core_throttle_count" for core in cores),
                cpus / f"cpu{first}/thermal_throttle/package_throttle_count",
            )
        )
        self._frequency = _there(cpus / f"cpu{core}/cpufreq/scaling_cur_freq" for core in cores[:FREQUENCY_CORES])

    def counts(self) -> dict[str, float]:
        """What only ever grows."""
        found = self._cpu_s()
        throttled = [seconds for file in self._groups if (seconds := _throttled_s(file.read())) is not None]
        if throttled:
            found["throttled_s"] = sum(throttled)
        pages = _numbers(self._vm.read_all(), (b"pswpin", b"pswpout"))
        if pages:
            found["swapped_pages"] = sum(pages)
        for line in self._stall.read().splitlines():
            if line.startswith(b"full ") and b" total=" in line:
                found["memory_stall_s"] = int(line.rpartition(b" total=")[2]) / 1e6
        heat = [int(text) for file in self._heat if (text := file.read().strip()).isdigit()]
        if heat:
            found["thermal_throttles"] = sum(heat)
        return found

    def states(self) -> dict[str, float]:
        """What is so at this instant."""
        found: dict[str, float] = {}
        available = _numbers(self._memory.read(), (b"MemAvailable:",))
        if available:
            found["memory_available_bytes"] = available[0] * 1024
        hz = [int(text) * 1000.0 for file in self._frequency if (text := file.read().strip()).isdigit()]
        if hz:
            found |= {"frequency_hz": sum(hz) / len(hz), "frequency_min_hz": min(hz), "frequency_max_hz": max(hz)}
        return found

    def _cpu_s(self) -> dict[str, float]:
        """Seconds the cores were busy with anything, idle, and kept from by the hypervisor."""
        busy = free = steal = seen = 0
        for line in self._stat.read().splitlines():
            words = line.split()
            if words and words[0] in self._cores:
                user, nice, system, idle, wait, interrupts, soft, stolen = map(int, words[1:9])
                busy += user + nice + system + interrupts + soft  # guests are in user already
                free += idle + wait
                steal += stolen
                seen += 1
        return {"busy_s": busy * TICK_S, "idle_s": free * TICK_S, "steal_s": steal * TICK_S} if seen else {}


class OwnTime:
    """CPU seconds of this process and of everything it has started, whether it still runs or was waited for.

    What has left the family (a daemon) or was never waited for is lost. With `head`, the family is that of another
    process, itself included: of what it has waited for, only the time until then counts.
    """

    def __init__(self, root: Path = Path("/"), head: int | None = None) -> None:
        self._proc = root / "proc"
        self._head = head
        self._newest = _File(self._proc / "loadavg")
        self._family: tuple[bytes, list[int]] = b"", []

    def __call__(self) -> float:
        if self._head is not None:
            return sum(map(self._cpu_s, self.descendants()))
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + waited.ru_utime + waited.ru_stime + sum(map(self._cpu_s, self.descendants()))

    def descendants(self) -> list[int]:
        """Process ids of children and theirs that still run, and of the `head`."""
        if self._head is None and not _has_children():
            return []
        # The number of the newest process: while it stays the same, nobody has been born since the last look.
        newest = self._newest.read().rpartition(b" ")[2]
        if not newest or self._family[0] != newest:
            head = [] if self._head is None else [self._head]
            self._family = newest, [*head, *self._find(self._head or os.getpid())]
        return self._family[1]

    def _find(self, pid: int) -> list[int]:
        try:
            return self._children_of(pid)
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            return self._by_parent(pid)

    def _children_of(self, pid: int) -> list[int]:
        found: list[int] = []
        folder = self._proc / str(pid) / "task"
        for task in folder.iterdir():
            for child in map(int, (task / "children").read_text().split()):
                try:
                    found += [child, *self._children_of(child)]
                except (FileNotFoundError, ProcessLookupError):
                    found.append(child)
        return found

    def _by_parent(self, pid: int) -> list[int]:
        """The same from the parent of every process there is: a few microseconds for each."""
        children: dict[int, list[int]] = {}
        with os.scandir(self._proc) as entries:
            everybody = [int(entry.name) for entry in entries if entry.name.isdigit()]
        for each in everybody:
            words = self._stat(each)
            if words:
                children.setdefault(int(words[1]), []).append(each)
        found = list(children.get(pid, ()))
        for child in found:  # grows while it is walked
            found += children.get(child, ())
        return found

    def _cpu_s(self, pid: int) -> float:
        return sum(map(int, self._stat(pid)[11:15])) * TICK_S

    def _stat(self, pid: int) -> list[bytes]:
        """/proc/<pid>/stat after the name, which may hold anything; empty when the process is gone."""
        try:
            with open(f"{self._proc}/{pid}/stat", "rb", buffering=0) as stream:
                return stream.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return []


class _File:
    def __init__(self, path: Path) -> None:
        try:
            self._descriptor: int | None = os.open(path, os.O_RDONLY)
        except OSError:
            self._descriptor = None

    def __bool__(self) -> bool:
        return self._descriptor is not None

    def read(self, offset: int = 0) -> bytes:
        if self._descriptor is None:
            return b""
        try:
            return os.pread(self._descriptor, 65536, offset)
        except OSError:
            return b""

    def read_all(self) -> bytes:
        """For a file of many records, which the kernel hands out page by page."""
        content = b""
        while part := self.read(len(content)):
            content += part
        return content

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _there(paths: Iterator[Path] | Sequence[Path]) -> list[_File]:
    return [file for file in map(_File, paths) if file]


def _numbers(content: bytes, names: tuple[bytes, ...]) -> list[int]:
    lines = (line.split() for line in content.splitlines() if line.startswith(names))
    return [int(words[1]) for words in lines if words[0] in names]


def _throttled_s(content: bytes) -> float | None:
    """cpu.stat of cgroup version 2 in microseconds, of version 1 in nanoseconds."""
    microseconds = _numbers(content, (b"throttled_usec",))
    nanoseconds = _numbers(content, (b"throttled_time",))
    if microseconds:
        return microseconds[0] / 1e6
    return nanoseconds[0] / 1e9 if nanoseconds else None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
