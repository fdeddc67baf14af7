"""Energy as the difference of a counter, or unavailable for a stated reason; never an estimate.

On the CPU the counter is RAPL's, of whole processor packages: what other processes and idle cores use is in it. On a
GPU it is the driver's, of the whole board; of several, that of each.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import gpu
from bench.record import Energy

RAPL = "RAPL, processor packages"
NVML = "NVML, GPU board"
RAPL_LEAST_S = 0.1
"""RAPL counts about every millisecond: 1 % of a tenth of a second."""
NVML_LEAST_S = 1.0
"""NVML's counter moves every 20 to 100 ms: up to 10 % of a second."""
MOST_W = 500.0
"""No package draws more for long: a counter that could have come round twice at this power is not believed."""


@dataclass(frozen=True)
class Counter:
    """Where energy is read."""

    source: str
    read_j: Callable[[], tuple[float, ...]]
    """Joules of each part; raises OSError when it cannot be read any more."""
    ranges_j: tuple[float, ...]
    """Where each part begins at zero again."""
    least_s: float


class Meter:
    """One energy counter: `start`, then `stop` with the number of steps in between."""

    def __init__(
        self,
        device: Literal["cpu", "gpu"],
        root: Path = Path("/"),
        clock_s: Callable[[], float] = time.monotonic,
        count: int = 1,
    ) -> None:
        """`count`: of the GPUs that are used."""
        self.source = NVML if device == "gpu" else RAPL
        found = _nvml(count) if device == "gpu" else _rapl(root)
        self.problem = found if isinstance(found, str) else None
        """Why there is no counter, with the cure."""
        self._counter = None if isinstance(found, str) else found
        self._clock_s = clock_s
        self._started: tuple[float, tuple[float, ...]] | None = None

    def start(self) -> None:
        """Reads the counter; called again, it begins anew."""
        if self._counter is not None:
            try:
                self._started = self._clock_s(), self._counter.read_j()
            except OSError as error:
                self._counter, self.problem = None, f"it cannot be read any more: {error}"

    def stop(self, steps: int) -> Energy:
        """Energy since `start`, during which `steps` steps were done."""
        if self._counter is None:
            return self._unavailable(self.problem or "")
        assert self._started is not None, "Meter.stop without start"
        counter, (start_s, before_j) = self._counter, self._started
        try:
            after_j, seconds = counter.read_j(), self._clock_s() - start_s
        except OSError as error:
            return self._unavailable(f"it cannot be read any more: {error}")
        if seconds < counter.least_s:
            return self._unavailable(f"{seconds:.2g} s are too short for it, {counter.least_s:g} s are needed")
        if seconds > min(counter.ranges_j) / MOST_W:
            return self._unavailable(f"in {seconds:.0f} s it may have begun at zero again more than once")
        grown_j = [after - before for before, after in zip(before_j, after_j, strict=True)]
        joules = sum(part + limit if part < 0 else part for part, limit in zip(grown_j, counter.ranges_j, strict=True))
        if not 0 < joules < math.inf:
            return self._unavailable("it does not move: no real counter stands behind it (virtual machine?)")
        return Energy(counter.source, joules, seconds, steps)

    def _unavailable(self, reason: str) -> Energy:
        return Energy(self.source, None, None, None, reason)


def _rapl(root: Path) -> Counter | str:
    """Packages only: core and DRAM zones lie inside of a package or count apart on some processors only."""
    folder = root / "sys/class/powercap"
    zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _text(zone / "name").startswith("package")]
    if not zones:
        return f"no RAPL in {folder} (virtual machines and containers hide it); elsewhere: sudo modprobe intel_rapl_msr"
    files = [zone / "energy_uj" for zone in zones]

    def read_j() -> tuple[float, ...]:
        return tuple(int(file.read_text()) / 1e6 for file in files)

    try:
        read_j()
        ranges_j = tuple(int((zone / "max_energy_range_uj").read_text()) / 1e6 for zone in zones)
    except PermissionError as error:
        return f"{error.filename}: permission denied; run as root, or: sudo chmod a+r {folder}/intel-rapl:*/energy_uj"
    except (OSError, ValueError) as error:
        return f"RAPL cannot be read: {error}"
    names = ", ".join(_text(zone / "name") for zone in zones)
    return Counter(f"RAPL {names}", read_j, ranges_j, RAPL_LEAST_S)


def _nvml(count: int) -> Counter | str:
    handles = gpu.visible()[:count]
    if len(handles) < count:
        return gpu.devices()[1] or "CUDA_VISIBLE_DEVICES shows no GPU of this machine"
    if any(gpu.energy_j(handle) is None for handle in handles):
        return "this GPU or its driver has no energy counter (Volta and later have; with MIG on it has none)"

    def read_j() -> tuple[float, ...]:
        joules = [gpu.energy_j(handle) for handle in handles]
        if None in joules:
            raise OSError("the driver gives no energy")
        return tuple(each for each in joules if each is not None)

    return Counter(NVML, read_j, (math.inf,) * count, NVML_LEAST_S)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
