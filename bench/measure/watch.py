"""What else the machine does while a cell measures: windows of the sentinel, closed between rounds, never in one."""

import os
import time

from bench import sentinel
from bench.implementation import Device
from bench.record import Window


class Watch:
    """Windows one after the other from `begin` on; a round lies in those it overlaps."""

    def __init__(self, device: Device, zero_s: float) -> None:
        """`zero_s`, of the monotonic clock: the start of the process."""
        self.zero_s = zero_s
        self.windows: list[Window] = []
        self._sentinel = sentinel.Sentinel(sorted(os.sched_getaffinity(0)), device, sentinel.own_cpu_s)
        self._before = self._sentinel.read()

    def boundary(self) -> None:
        """Between two rounds: closes the window when it is long enough to be judged, else leaves it open."""
        if time.monotonic() - self._before.at_s >= sentinel.MIN_WINDOW_S:
            self.close()

    def settle(self) -> None:
        """Waits until the window can be judged and closes it, so that every round so far is."""
        time.sleep(max(0.0, self._before.at_s + sentinel.MIN_WINDOW_S - time.monotonic()))
        self.close()

    def close(self) -> None:
        """Ends the window here, however short it is, and begins the next."""
        after = self._sentinel.read()
        self.windows.append(self._sentinel.window(self._before, after, self.zero_s))
        self._before = after

    def largest(self, reading: str) -> float | None:
        """The largest value of a reading so far; None where it was never to be had."""
        return max((window.readings[reading] for window in self.windows if reading in window.readings), default=None)
