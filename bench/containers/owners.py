"""Who started a container: a label that outlives its process, so that what a killed `bench` leaves behind is swept."""

import os
from collections.abc import Callable
from pathlib import Path

from bench.containers.engine import Engine

LABEL = "io.bench.owner"

Say = Callable[[str], None]


def me() -> str:
    """This process, named as no other ever was: boot of the machine, PID namespace, user, PID, start in clock ticks."""
    return " ".join((_boot(), _namespace(), str(os.getuid()), str(os.getpid()), _start(os.getpid()) or ""))


def abandoned(owner: str, *, running: bool, local: bool) -> bool:
    """Whether the `owner` of a container on this engine (`local`: of this machine) is known to be gone.

    Another user's process may be hidden from this one, and so is one of another machine or PID namespace: they count
    as alive. Of an earlier boot of this machine nothing lives.
    """
    parts = owner.split()
    if len(parts) != 5:
        return False
    boot, namespace, user, pid, start = parts
    if user != str(os.getuid()) or not local:
        return False
    if boot != _boot():
        return not running  # a running one belongs to another machine that has this engine's socket forwarded to it
    return namespace == _namespace() and _start(int(pid)) != start


def sweep(engine: Engine, say: Say) -> None:
    """Removes the containers whose `bench` has ended without doing so itself."""
    for container in engine.client.containers(all=True, filters={"label": LABEL}):
        running = container["State"] == "running"
        if abandoned(container["Labels"][LABEL], running=running, local=engine.socket is not None):
            say(f"removing container {container['Id'][:12]}, left behind by a bench that was killed")
            _remove(engine, container["Id"])


def remove_mine(engine: Engine) -> None:
    """Removes every container of this process, by label: an interruption may leave one whose id was never received."""
    for container in engine.client.containers(all=True, filters={"label": f"{LABEL}={me()}"}):
        _remove(engine, container["Id"])


def _remove(engine: Engine, container: str) -> None:
    from docker.errors import APIError

    try:
        engine.client.remove_container(container, v=True, force=True)
    except APIError as error:
        if error.status_code not in (404, 409):  # gone already, or somebody else is removing it
            raise


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no file to be followed)


def _start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None when there is none of this number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()[19]  # the name, in parentheses, may hold anything
