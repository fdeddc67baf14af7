"""What a container is created with: an order as the Docker engine's own options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.containers import owners
from bench.containers.engine import Engine
from bench.errors import UsageError
from bench.image import DATA, RESULTS

if TYPE_CHECKING:
    from docker.types import Mount

GPU_SHM_BYTES = 2**30
"""Room to spare: GPU libraries share memory between processes through /dev/shm, and 64 MiB are the least they need."""
DEVICE_LABEL = "io.bench.device"
"""Of an image: its default of `--device`."""
PASSED_ON = ("CI", "COLUMNS", "NO_COLOR", "TERM")
STANDARD_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/docker.sock"))


@dataclass(frozen=True)
class Order:
    """One run of `bench` in a container."""

    image: str
    """Tag or id, as the engine knows it."""
    words: tuple[str, ...]
    """The command line of `bench` in the container, with the container's paths."""
    out: Path
    """Folder here that is `/results` there."""
    data_dir: Path | None = None
    """Folder here that is `/data` there, read-only."""
    device: str | None = None
    """None: the image's own default."""
    named: bool = True
    """Whether the user named the image."""
    expected: str | None = None
    """Id that the image must have; None: any."""
    name: str | None = None
    cpus: float | None = None
    cores: str | None = None
    """Numbers of the cores it may use, as `0-3` or `0,2`."""
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    tty: bool = False
    """Standard output is a terminal, and shall be one in the container."""
    stream: bool = False
    """Standard output is a file of some size, which the engine shall not log."""


def needs_gpu(order: Order, image: Mapping[str, Any]) -> bool:
    """Whether the container needs a GPU; `image` as the engine inspects it."""
    labels = image["Config"]["Labels"] or {}
    return (order.device or labels.get(DEVICE_LABEL)) == "gpu"


def check_mounts(order: Order, engine: Engine) -> None:
    """Raises a UsageError where a folder to be mounted holds the engine's socket: who reaches that owns the machine."""
    sockets = {path.resolve() for path in (engine.socket, *STANDARD_SOCKETS) if path is not None}
    for option, folder in (("--out", order.out), ("--data-dir", order.data_dir)):
        if folder is not None and any(socket.is_relative_to(folder.resolve()) for socket in sockets):
            raise UsageError(
                f"{option} {folder}: holds the Docker engine's socket, which no container may see; name a folder of "
                "its own"
            )


def creation(order: Order, engine: Engine, image: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the SDK's `create_container`; `image` as the engine inspects it, `environment` the caller's own.

    The container runs as the calling user (see `_who`) without any capability, without a network unless `BENCH_OFFLINE`
    is 0, and can write to `/results`, `/tmp` and `/dev/shm` only.
    """
    from docker.types import DeviceRequest, LogConfig

    online = environment.get("BENCH_OFFLINE") == "0"
    user, group, groups = _who(order.out)
    gpu = needs_gpu(order, image)
    return {
        "image": image["Id"],
        "name": order.name,
        "command": list(order.words),
        "user": f"{user}:{group}",
        "tty": order.tty,
        "labels": {owners.LABEL: owners.me()},
        "environment": _environment(image, environment, online=online),
        "host_config": engine.client.create_host_config(
            mounts=_mounts(order),
            group_add=[str(each) for each in groups],
            network_mode="bridge" if online else "none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": "exec,mode=1777"},  # noqa: S108 (compiled kernels; mounted noexec otherwise)
            cpuset_cpus=order.cores,
            nano_cpus=None if order.cpus is None else round(order.cpus * 1e9),
            mem_limit=order.memory_bytes,
            memswap_limit=order.memory_bytes,  # no swap on top: what swaps is not measured but waited for
            shm_size=order.shm_bytes or (GPU_SHM_BYTES if gpu else None),
            device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpu else None,
            log_config=LogConfig(type="none") if order.stream else None,
        ),
    }


def _who(out: Path) -> tuple[int, int, list[int]]:
    """User, group and further groups of the container: the caller's; for root, those of whoever owns the results.

    Without its capabilities root may not write where others may; and results of `sudo` belong to who has the folder.
    """
    if os.getuid() != 0:
        return os.getuid(), os.getgid(), os.getgroups()
    owner = out.stat()
    return owner.st_uid, owner.st_gid, []


def _environment(image: Mapping[str, Any], caller: Mapping[str, str], *, online: bool) -> dict[str, str]:
    known = {"BENCH_IMAGE_ID": image["Id"], "BENCH_IMAGE_DIGESTS": " ".join(image.get("RepoDigests") or ())}
    passed = {name: caller[name] for name in PASSED_ON if name in caller}
    return known | passed | ({"BENCH_OFFLINE": "0"} if online else {})


def _mounts(order: Order) -> list["Mount"]:
    from docker.types import Mount

    results = Mount(str(RESULTS), str(order.out), type="bind")
    if order.data_dir is None:
        return [results]
    return [results, Mount(str(DATA[0]), str(order.data_dir), type="bind", read_only=True)]
