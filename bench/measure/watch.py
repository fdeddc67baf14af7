"""What else the machine does while a cell measures: windows of the sentinel, closed between rounds, never in one."""

import os
import time
from collections.abc import Sequence

from bench import sentinel
from bench.counters import OwnTime
from bench.implementation import Device
from bench.record import Window


class Unwatched:
    """Of a process beside the first of a cell, which watches the machine for all of them: a look takes time."""

    windows: Sequence[Window] = ()

    def boundary(self) -> None:
        """Nothing."""

    def settle(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def largest(self, reading: str) -> float | None:
        """None."""
        return None


class Watch:
    """Windows one after the other from `begin` on; a round lies in those it overlaps."""

    def __init__(self, device: Device, zero_s: float, own: OwnTime, gpus: int = 1) -> None:
        """`zero_s`, of the monotonic clock: the start of the process. `own`: of all processes of the cell."""
        self.zero_s = zero_s
        self.windows: list[Window] = []
        self._sentinel = sentinel.Sentinel(
            sorted(os.sched_getaffinity(0)), device, own, gpus=gpus, family=own.descendants
        )
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
