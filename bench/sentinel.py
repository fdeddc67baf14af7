"""What the machine was doing between two instants, and whether that disturbed what was measured meanwhile.

It reads counters; it samples nothing and uses no thread. Readings of a window, absent where they cannot be read:
- foreign_cores, own_cores, steal_cores: cores' worth of time that others, the measured processes, the hypervisor had on
  the cores watched. Work of the measured processes on other cores makes foreign_cores too small, never too large.
- throttled_share: of the watched cores' time, how much the quota of a control group kept from it.
- swapped_pages, memory_stall_share (of the time all tasks waited for memory: "full" of /proc/pressure/memory),
  memory_available_bytes (the least): of the whole machine.
- frequency_hz, frequency_min_hz, frequency_max_hz: over up to four cores, as the two ends of the window showed them;
  thermal_throttles: how often the processor slowed down for its heat.
- gpu_*: see `bench.gpu.states`; gpu_throttle holds the reasons of both ends as bits.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import gpu
from bench.counters import TICK_S, Counters, OwnTime
from bench.record import Window

MIN_WINDOW_S = 0.25
"""Ticks of 10 ms and readings that are not of one instant say nothing of shares in a shorter window."""
FOREIGN_CORES = 0.1
"""The slowest thread sets the step: a tenth of one core gone can cost 10 % of a step, five times the margin of 2 %. An
idle system's services stay below a twentieth."""
STEAL_CORES = 0.1
"""As foreign load. Shared virtual machines lose 1 to 3 % of a core all the time: that is their noise, not a taint."""
THROTTLED_SHARE = 0.01
"""A quota stops all threads together: its share is added to the step as it is, and 1 % is half of the margin."""
SWAPPED_PAGES = 16
"""64 KiB. A page from a disk takes 0.1 to 10 ms; a few are swapped out early on idle machines, to no one's harm."""
MEMORY_STALL_SHARE = 0.01
"""As throttling: everything stood still for that share of the time."""
FREQUENCY_SHARE = 0.9
"""Of the highest frequency seen with as many cores busy: turbo steps are 3 % apart, so one step is none."""
BUSY_CORES = 0.5
"""Below this the processor may run slowly because nobody needs it: no frequency is judged."""


@dataclass(frozen=True)
class Reading:
    """All counters at one instant."""

    at_s: float
    """Of the monotonic clock."""
    counts: Mapping[str, float]
    """What only ever grows."""
    states: Mapping[str, float]
    """What was so at this instant."""


own_cpu_s = OwnTime()
"""CPU seconds of this process, its descendants that still run, and those it has waited for."""


class Sentinel:
    """Watches `cores`, and the GPU if that is the device; `own_s` says what the measured processes used so far."""

    def __init__(
        self,
        cores: Sequence[int],
        device: Literal["cpu", "gpu"],
        own_s: Callable[[], float] = own_cpu_s,
        root: Path = Path("/"),
        *,
        gpus: int = 1,
        family: Callable[[], Sequence[int]] = own_cpu_s.descendants,
    ) -> None:
        """`gpus`: so many of the visible ones, from the first; `family`: the measured processes beside this one."""
        self._cores = tuple(cores)
        self._own_s = own_s
        self._counters = Counters(self._cores, root)
        self._gpus = gpu.visible()[:gpus] if device == "gpu" else []
        self._family = family
        self._frequencies: list[tuple[float, float]] = []  # busy cores, frequency: of every window judged so far

    def read(self) -> Reading:
        """All counters now."""
        at_s = time.monotonic()
        counts = self._counters.counts() | {"own_s": self._own_s()}
        states = self._counters.states()
        if self._gpus:
            own = (os.getpid(), *self._family())
            counts |= gpu.together([gpu.counts(each) for each in self._gpus])
            states |= gpu.together([gpu.states(each, own) for each in self._gpus])
        return Reading(at_s, counts, states)

    def window(self, before: Reading, after: Reading, zero_s: float) -> Window:
        """What happened between two readings; its times count from `zero_s` of the monotonic clock."""
        readings = _readings(before, after, len(self._cores))
        seconds = after.at_s - before.at_s
        taints = _taints(readings, seconds, len(self._cores))
        if seconds >= MIN_WINDOW_S:
            taints += self._slow(readings)
        return Window(before.at_s - zero_s, after.at_s - zero_s, readings, tuple(taints))

    def _slow(self, readings: Mapping[str, float]) -> list[str]:
        """Compares with windows that kept as many cores busy: one busy core alone may always run faster than all."""
        hz, busy = readings.get("frequency_max_hz"), readings.get("own_cores", 0.0) + readings.get("foreign_cores", 0.0)
        if hz is None or busy < BUSY_CORES:
            return []
        self._frequencies.append((busy, hz))
        best_hz = max(seen_hz for seen, seen_hz in self._frequencies if seen >= busy - 0.25)
        if hz >= FREQUENCY_SHARE * best_hz:
            return []
        return [f"the processor ran at {hz / 1e9:.2f} GHz, {best_hz / 1e9:.2f} GHz before under as much load"]


def _readings(before: Reading, after: Reading, cores: int) -> dict[str, float]:
    seconds = max(after.at_s - before.at_s, 1e-9)
    grown = {name: max(0.0, after.counts[name] - before.counts[name]) for name in after.counts if name in before.counts}
    found: dict[str, float] = {}
    own_s = grown.pop("own_s", 0.0)
    if "busy_s" in grown:
        # A freeze of the whole machine is handed in afterwards and can exceed the window.
        steal_s = min(grown.pop("steal_s"), cores * seconds)
        # The same time counted twice: busy is sampled, tick by tick, and idle is measured, but steal blurs it. Each is
        # too large at times; the smaller one invents no load.
        busy_s = min(grown.pop("busy_s"), cores * seconds - grown.pop("idle_s") - steal_s)
        found["foreign_cores"] = max(0.0, busy_s - own_s) / seconds
        found["own_cores"] = own_s / seconds
        found["steal_cores"] = steal_s / seconds
    if "throttled_s" in grown:
        found["throttled_share"] = min(1.0, grown.pop("throttled_s") / seconds / max(1, cores))
    if "memory_stall_s" in grown:
        found["memory_stall_share"] = min(1.0, grown.pop("memory_stall_s") / seconds)
    found |= grown
    for name in after.states:
        if name in before.states:
            found[name] = _joined(name, before.states[name], after.states[name])
    return found


def _joined(name: str, before: float, after: float) -> float:
    """One figure for a window from the states at its two ends: the worse one, or the mean where none is worse."""
    if name == "gpu_throttle":
        return float(int(before) | int(after))
    if name == "memory_available_bytes":
        return min(before, after)
    if name in ("gpu_temperature_c", "gpu_process_bytes", "foreign_gpu_processes"):
        return max(before, after)
    return (before + after) / 2


def _taints(readings: Mapping[str, float], seconds: float, cores: int) -> list[str]:
    found: list[str] = []

    def taint(name: str, threshold: float, text: str, least_s: float = 0.0) -> None:
        value = readings.get(name, 0.0)
        if value >= threshold and value * seconds >= least_s:
            found.append(text.format(value).replace("%", " %"))

    if seconds >= MIN_WINDOW_S:
        # Every count of every core is cut to whole ticks at both ends: three standard deviations of that.
        ticks_s = 2 * (1 + math.sqrt(cores)) * TICK_S
        taint("foreign_cores", FOREIGN_CORES, "other processes used {:.2f} of a core", ticks_s)
        taint("steal_cores", STEAL_CORES, "the hypervisor took {:.2f} of a core", ticks_s)
        taint("throttled_share", THROTTLED_SHARE, "the cgroup was throttled for {:.0%} of the time")
        taint("memory_stall_share", MEMORY_STALL_SHARE, "all tasks waited for memory for {:.0%} of the time")
    taint("swapped_pages", SWAPPED_PAGES, "{:.0f} pages were swapped")
    taint("thermal_throttles", 1, "heat slowed the processor down, {:.0f} times counted over its cores")
    taint("foreign_gpu_processes", 1, "{:.0f} other processes had the GPU open")
    taint("gpu_ecc_errors", 1, "the GPU's memory had {:.0f} uncorrected errors")
    reasons = gpu.slowdown_words(int(readings.get("gpu_throttle", 0)))
    return found + [f"the GPU slowed down: {reason}" for reason in reasons]
