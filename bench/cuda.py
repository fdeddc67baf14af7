"""Whether the driver is new enough for the CUDA that an arm's interpreter brings, and what else a GPU process needs."""

import os
from collections.abc import Iterable
from pathlib import Path

from bench import gpu, interpreters
from bench.errors import MachineError, UsageError
from bench.implementation import Arm
from bench.probe import CUDA_RUNTIMES

DRIVERS = {11: 450, 12: 525, 13: 580}
"""CUDA major version to the first driver for all of it: NVIDIA, CUDA Compatibility, "Minor Version Compatibility"."""
LEAST_SHM_BYTES = 64 * 2**20
"""What Docker gives unasked."""
SHM_BYTES_OF_SEVERAL = 2**30
"""NCCL hands gradients from GPU to GPU through it where they cannot reach each other's memory."""


def require(arms: Iterable[Arm]) -> None:
    """Raises a MachineError, one line with the cure, unless the GPU's driver is new enough for every one of the arms.

    An arm whose interpreter cannot be asked is passed over: it is a hole, or an error with a line of its own.
    """
    offered = gpu.cuda_version()
    if offered is None:
        return
    needed = {arm.name: major for arm in arms if (major := _needed(arm)) is not None}
    late = {name: major for name, major in needed.items() if major > offered[0]}
    if not late:
        return
    most = max(late.values())
    wanted = f"a driver of at least {DRIVERS[most]}" if most in DRIVERS else f"one that offers CUDA {most}"
    ready = [name for name in needed if name not in late]
    instead = (
        f", or measure what this one is enough for: {' '.join(f'--arm {name}' for name in ready)}" if ready else ""
    )
    asked = "; ".join(
        f"CUDA {major} is needed by {', '.join(name for name in late if late[name] == major)}"
        for major in sorted(set(late.values()))
    )
    raise MachineError(
        f"--device gpu: driver {gpu.driver_version()} offers CUDA {offered[0]}.{offered[1]}, {asked}; "
        f"install {wanted} on the host{instead}"
    )


def require_shared_memory(
    folder: Path = Path("/dev/shm"),  # noqa: S108 (its name, nothing is put there)
    least_bytes: int = LEAST_SHM_BYTES,
) -> None:
    """Raises a MachineError, one line with the cure, where shared memory is less than that."""
    found = os.statvfs(folder) if folder.is_dir() else None
    size_bytes = found.f_frsize * found.f_blocks if found else 0
    if size_bytes < least_bytes:
        raise MachineError(
            f"--device gpu: {folder} holds {size_bytes // 2**20} MiB, at least {least_bytes // 2**20} MiB "
            "are needed; start the container with --shm-size 1g"
        )


def _needed(arm: Arm) -> int | None:
    """Major version of the newest CUDA runtime in the arm's interpreter; None where it has none or cannot be asked."""
    try:
        offer = interpreters.probe(arm.framework)
    except UsageError:
        return None
    found = [entry[1] for name in CUDA_RUNTIMES if (entry := offer["distributions"].get(name))]
    return max((int(version.partition(".")[0]) for version in found), default=None)
