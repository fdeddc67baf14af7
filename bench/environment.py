"""What the machine is and how much of it this process may use: affinity, cgroup limits, memory, versions."""

import hashlib
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import psutil

import bench
from bench import gpu, image
from bench.errors import UsageError

ROOT = Path("/")
CODE = ("bench/", "impl_")
"""Where an untracked file is code that may be measured."""


def cpu_budget(root: Path = ROOT) -> int:
    """CPU cores this process may keep busy: its affinity mask, cut by the tightest cgroup quota (rounded up)."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *(math.ceil(quota) for quota in _cpu_quotas(root))]))


def memory_limit_bytes(root: Path = ROOT) -> int:
    """Memory this process may use: what the machine has, cut by the tightest cgroup limit."""
    total: int = psutil.virtual_memory().total
    limits = [
        int(text)
        for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes"))
        for folder in cgroup_folders(root, controller)
        if (text := _read(folder / name)) is not None and text.isdigit()
    ]
    return min([total, *limits])


def idle_cores(count: int) -> tuple[int, ...]:
    """`count` of the cores in the affinity mask: one hardware thread of a physical core first, then the idlest."""
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return tuple(allowed)
    busy = psutil.cpu_percent(interval=0.2, percpu=True)
    seen: set[str] = set()
    ranked: list[tuple[bool, int, int]] = []
    for core in sorted(allowed, key=lambda core: busy[core] if core < len(busy) else 0.0):
        siblings = _read(Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")) or str(core)
        ranked.append((siblings in seen, len(ranked), core))
        seen.add(siblings)
    return tuple(sorted(core for _, _, core in sorted(ranked)[:count]))


def describe() -> dict[str, Any]:
    """The machine and the code, for the result; no host name and no user name. A value that cannot be read is None."""
    devices, gpu_problem = gpu.devices()
    checkout, here = Path(bench.__file__).resolve().parent.parent, image.here()
    return {
        "cpu": _cpu_model(),
        "logical_cores": psutil.cpu_count(logical=True),
        "physical_cores": psutil.cpu_count(logical=False),
        "cpu_budget": cpu_budget(),
        "cpu_quota": min(_cpu_quotas(ROOT), default=None),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": memory_limit_bytes(),
        "swap_bytes": psutil.swap_memory().total,
        "transparent_hugepages": transparent_hugepages(),
        "cpu_governor": cpu_governor(),
        "cpu_boost": cpu_boost(),
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "container": _container(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "bench": _version("bench"),
        "pytest": _version("pytest"),
        "pytest_benchmark": _version("pytest-benchmark"),
        "git": image.source(here) if here else git_state(checkout),
        "image": image.identity() | {"contents": image.contents()} | msgspec.to_builtins(here) if here else None,
        "locks": here.locks if here else locks(checkout, os.environ.get("BENCH_LOCKS", "")),
        "gpus": devices,
        "gpu_problem": gpu_problem,
    }


def locks(checkout: Path, named: str) -> dict[str, str] | None:
    """Sha256, hex, of the locks that the interpreters were installed from, as whoever did it has named them.

    `named` is `BENCH_LOCKS`: files below `requirements`, space separated. None: nobody has, what is installed is told
    by each interpreter's own hash.
    """
    folder = checkout / "requirements"
    missing = [name for name in named.split() if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"BENCH_LOCKS: no {', '.join(missing)} in {folder}; name locks that are there, or unset it")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in named.split()} or None


def cpu_governor(root: Path = ROOT) -> str | None:
    """Who sets the frequency of the cores: `performance`, `powersave`…; several are joined by commas."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({name for file in files if (name := _read(file))})) or None


def cpu_boost(root: Path = ROOT) -> bool | None:
    """Whether cores may run above their base frequency."""
    folder = root / "sys/devices/system/cpu"
    boost, no_turbo = _read(folder / "cpufreq/boost"), _read(folder / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == "0"
    return None if boost is None else boost == "1"


def transparent_hugepages(root: Path = ROOT) -> str | None:
    """`always`, `madvise` or `never`."""
    choices = (_read(root / "sys/kernel/mm/transparent_hugepage/enabled") or "").split()
    return next((choice.strip("[]") for choice in choices if choice.startswith("[")), None)


def git_state(checkout: Path) -> dict[str, Any] | None:
    """Commit of the checkout and whether its files differ from it; None when `checkout` is none, or git cannot tell."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str | None:
        command = [git, "-C", str(checkout), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed arguments)
        return answer.stdout.strip() if answer.returncode == 0 else None

    top = ask("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != checkout.resolve():
        return None
    commit = ask("rev-parse", "HEAD")
    changes = ask("status", "--porcelain", "--untracked-files=all")
    if commit is None or changes is None:
        return None
    # A file that nobody has added yet changes what is measured only where it is code.
    code = [line for line in changes.splitlines() if not line.startswith("??") or line[3:].startswith(CODE)]
    return {"commit": commit, "dirty": bool(code)}


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time granted by every cgroup this process is in, version 2 and version 1."""
    for folder in cgroup_folders(root, ""):
        quota, _, period = (_read(folder / "cpu.max") or "max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            yield int(quota) / int(period)
    for folder in cgroup_folders(root, "cpu"):
        quota = _read(folder / "cpu.cfs_quota_us") or "-1"
        period = _read(folder / "cpu.cfs_period_us") or ""
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            yield int(quota) / int(period)


def cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """This process's group and all above it; controller "" is version 2.

    In a container the path may name the host's groups, which cannot be seen; the mount's own folder, the last one
    here, is then the container's.
    """
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        mounts = ("unified", "") if controller == "" else (controllers, controller)
        for mount in mounts:
            base = root / "sys/fs/cgroup" / mount
            group = base / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(base))


def _read(path: Path) -> str | None:
    """A small file of /proc or /sys, stripped; None where the kernel does not offer it."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cpu_model() -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _container() -> str | None:
    """Kind of container this runs in, as far as it shows; None for none seen."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return os.environ.get("container")  # noqa: SIM112 (systemd's own name for it)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
