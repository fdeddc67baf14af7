"""What `bench doctor` asks of a machine beforehand, judged by the thresholds that taint rounds later."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from bench import catalogue, environment, gpu
from bench.energy import Meter
from bench.estimate import Assumptions, memory_bytes
from bench.record import Window

Verdict = Literal["ok", "remark", "may disturb", "disturbs", "not readable here"]
"""remark: worth knowing, and no harm to a measurement."""
NAMED_CORES = 0.02
"""A process with less of a core is not worth a name."""
SWAP_SHARE = 0.01
"""Of the memory. Less than this in swap is what a system puts there once and never asks for again."""
NO_CPUFREQ = "no cpufreq: something else sets the frequency (virtual machine?)"


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    found: str
    verdict: Verdict
    cure: str = ""
    """One line; empty where nothing needs one."""


@dataclass(frozen=True)
class Busy:
    """A process and what it used of a core."""

    pid: int
    name: str
    cores: float


def of_cpu(window: Window, busy: Sequence[Busy], cores: Sequence[int], root: Path = Path("/")) -> list[Check]:
    """Who else wants the cores, and how fast they may run."""
    readings = window.readings
    checks = []
    if "foreign_cores" in readings:
        named = sorted((each for each in busy if each.cores >= NAMED_CORES), key=lambda each: -each.cores)[:3]
        found = "; ".join(
            (
                f"{readings['foreign_cores']:.2f} of a core",
                *(f"{each.name} ({each.pid}) {each.cores:.2f}" for each in named),
            )
        )
        cure = f"end {named[0].name} ({named[0].pid}) or let it finish" if named else "end them or let them finish"
        checks.append(_by_taint("other processes", found, window, "other processes used", cure))
        stolen = f"{readings['steal_cores']:.2f} of a core stolen"
        cure = "measure on a machine of its own, or when its host is quieter"
        checks.append(_by_taint("hypervisor", stolen, window, "the hypervisor", cure))
    else:
        checks.append(Check("other processes", "/proc/stat does not name the cores", "not readable here"))
    if "throttled_share" in readings:
        percent, allowed = 100 * readings["throttled_share"], environment.cpu_budget(root)
        found = f"throttled for {percent:.0f} % of the time, {allowed} cores allowed"
        cure = "end what else runs in this container, or raise its limit (--cpus)"
        checks.append(_by_taint("cgroup quota", found, window, "the cgroup", cure))
    else:
        checks.append(Check("cgroup quota", "no control group counts throttling", "not readable here"))
    return [*checks, _governor(root), _frequency(window, cores, root)]


def _governor(root: Path) -> Check:
    governor = environment.cpu_governor(root)
    if governor is None:
        return Check("governor", NO_CPUFREQ, "not readable here")
    if governor == "performance":
        return Check("governor", governor, "ok")
    return Check("governor", governor, "may disturb", "sudo cpupower frequency-set -g performance")


def _frequency(window: Window, cores: Sequence[int], root: Path) -> Check:
    readings = window.readings
    if "frequency_hz" not in readings:
        return Check("frequency", NO_CPUFREQ, "not readable here")
    found = f"{readings['frequency_hz'] / 1e9:.2f} GHz, the slowest core {readings['frequency_min_hz'] / 1e9:.2f} GHz"
    folder = root / f"sys/devices/system/cpu/cpu{cores[0]}/cpufreq"
    allowed_khz, possible_khz = (_number(folder / f"{name}_max_freq") for name in ("scaling", "cpuinfo"))
    if allowed_khz and possible_khz and allowed_khz < possible_khz:
        found += f", limited to {allowed_khz / 1e6:.2f} of {possible_khz / 1e6:.2f} GHz"
        return Check("frequency", found, "may disturb", f"sudo cpupower frequency-set -u {possible_khz}kHz")
    return _by_taint("frequency", found, window, "heat", "let it cool down; see to its fans and its power plan")


def of_memory(window: Window, root: Path = Path("/")) -> list[Check]:
    """Whether memory is short, or would be."""
    readings = window.readings
    used_bytes, total_bytes = psutil.swap_memory().used, psutil.virtual_memory().total
    found = f"{used_bytes / 2**30:.1f} GiB in swap, {readings.get('swapped_pages', 0):.0f} pages moved"
    cure = "free memory, then: sudo swapoff -a && sudo swapon -a"
    moving = any("swapped" in taint for taint in window.taints)
    resting: Verdict = "may disturb" if used_bytes > SWAP_SHARE * total_bytes else "ok"
    verdict: Verdict = "disturbs" if moving else resting
    checks = [Check("swap", found, verdict, "" if verdict == "ok" else cure)]
    if "memory_stall_share" in readings:
        found = f"all tasks waited for {100 * readings['memory_stall_share']:.1f} % of the time"
        cure = "end what fills the memory, or raise the container's limit"
        checks.append(_by_taint("memory pressure", found, window, "all tasks", cure))
    else:
        checks.append(Check("memory pressure", "no /proc/pressure/memory (kernel without PSI)", "not readable here"))
    free, left = readings.get("memory_available_bytes", total_bytes), _left_in_cgroup_bytes(root)
    available = free if left is None else min(free, left)
    needed = max(memory_bytes(catalogue.load(name), Assumptions()) for name in catalogue.names())
    where = " under the limit of the control group" if available < free else ""
    found = f"{available / 2**30:.1f} GiB available{where}, a cell takes up to {needed / 2**30:.1f} GiB"
    cure = "free memory, or raise the container's limit (--memory)" if where else "free memory"
    enough = available >= needed
    return [*checks, Check("memory", found, "ok" if enough else "disturbs", "" if enough else cure)]


def _left_in_cgroup_bytes(root: Path) -> int | None:
    """What the tightest control group still allows; None without a limit. Its idle page cache counts as free."""
    left = []
    for controller, limit, usage, cache in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in environment.cgroup_folders(root, controller):
            allowed = _number(folder / limit)
            if allowed is not None:
                used = (_number(folder / usage) or 0) - _statistic(folder / "memory.stat", cache)
                left.append(max(0, allowed - max(0, used)))
    return min(left, default=None)


def _statistic(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(value) for key, _, value in (line.partition(" ") for line in lines) if key == name), 0)


def of_energy(meter: Meter) -> Check:
    """Whether energy will be in the results."""
    if meter.problem is None:
        return Check("energy", f"{meter.source}: readable", "ok")
    found, _, cure = meter.problem.partition("; ")
    return Check("energy", found, "not readable here", cure)


def of_gpu(handle: Any, window: Window) -> list[Check]:
    """Who else is on the GPU, what slows it down, and how it is set."""
    readings, settings = window.readings, gpu.settings(handle)
    checks = []
    if "foreign_gpu_processes" in readings:
        found = f"{readings['foreign_gpu_processes']:.0f} others"
        checks.append(
            _by_taint("GPU processes", found, window, "other processes had", "end those that nvidia-smi lists")
        )
    else:
        checks.append(Check("GPU processes", "the driver does not say", "not readable here"))
    if "gpu_throttle" in readings:
        words = gpu.slowdown_words(int(readings["gpu_throttle"]))
        units = {"gpu_clock_hz": (1e-6, "MHz"), "gpu_power_w": (1, "W"), "gpu_temperature_c": (1, "°C")}
        state = (f"{readings[name] * factor:.0f} {unit}" for name, (factor, unit) in units.items() if name in readings)
        found = "; ".join((", ".join(state), *(f"slowed down by {reason}" for reason in words)))
        checks.append(
            _by_taint("GPU clock", found, window, "the GPU slowed", "let it cool down; see to its power and fans")
        )
    else:
        checks.append(Check("GPU clock", "the driver gives no reasons for it", "not readable here"))
    errors = gpu.counts(handle).get("gpu_ecc_errors")
    if errors is None:
        checks.append(Check("GPU ECC", "no counter of errors", "not readable here"))
    else:
        found = f"{errors:.0f} uncorrected errors since the driver was loaded; ECC {_on(settings['ecc'])}"
        new = any("uncorrected errors" in taint for taint in window.taints)
        ecc: Verdict = "disturbs" if new else "remark" if errors else "ok"  # old ones slow nothing down
        cure = "restart the machine; have the GPU replaced" if new else "more of them: have the GPU replaced"
        checks.append(Check("GPU ECC", found, ecc, cure if errors else ""))
    checks.append(_power_cap(handle, settings["power_cap_w"]))
    checks.append(_setting("GPU MIG", settings["mig"], False, "measure with MIG off: sudo nvidia-smi -mig 0"))
    return [*checks, _setting("GPU persistence", settings["persistence"], True, "sudo nvidia-smi -pm 1")]


def _power_cap(handle: Any, cap_w: float | None) -> Check:
    default_mw = gpu.ask("nvmlDeviceGetPowerManagementDefaultLimit", handle)
    if cap_w is None or default_mw is None:
        return Check("GPU power cap", "this GPU or driver does not say", "not readable here")
    default_w = default_mw / 1000
    if cap_w < default_w:
        found = f"{cap_w:.0f} W, {default_w:.0f} W by default"
        return Check("GPU power cap", found, "may disturb", f"sudo nvidia-smi -pl {default_w:.0f}")
    return Check("GPU power cap", f"{cap_w:.0f} W", "ok")


def _setting(name: str, value: bool | None, good: bool, cure: str) -> Check:
    if value is None:
        return Check(name, "this GPU or driver does not say", "not readable here")
    return Check(name, _on(value), "ok" if value == good else "may disturb", "" if value == good else cure)


def _on(value: bool | None) -> str:
    return "unknown" if value is None else "on" if value else "off"


def _by_taint(name: str, found: str, window: Window, words: str, cure: str) -> Check:
    """Disturbs when a taint of the window has these words in it: one threshold for here and for the measurement."""
    tainted = any(words in taint for taint in window.taints)
    return Check(name, found, "disturbs" if tainted else "ok", cure if tainted else "")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
