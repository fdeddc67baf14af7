"""The Docker engine: found, checked, and its refusals told in one line."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from bench.errors import BenchError, MachineError, UsageError

if TYPE_CHECKING:
    from docker.api import APIClient

LEAST_API = (1, 41)
"""Docker Engine 20.10: the first that holds containers to their limits under cgroup version 2 too, and the oldest the
suite is tested with. Below 1.40 no GPU can be asked for."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers and is new enough."""

    client: "APIClient"
    address: str
    """As `DOCKER_HOST` has it."""

    @property
    def socket(self) -> Path | None:
        """Its Unix socket; None where it is reached over a network and may be another machine's."""
        return _socket(self.address)

    def image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of an image, by tag or id; None where it has none, or the name cannot be one."""
        from docker.errors import APIError, NullResource

        try:
            found: dict[str, Any] = self.client.inspect_image(name)  # type: ignore[no-untyped-call]
        except NullResource:
            return None
        except APIError as error:
            if error.status_code in (400, 404):
                return None
            raise
        return found


@contextmanager
def connected() -> Iterator[Engine]:
    """The engine at `DOCKER_HOST`, else at the default socket.

    MachineError: the SDK is not installed, no engine answers, it does not let this user in, or it is too old. A
    `DOCKER_HOST` that is no address is a UsageError. An engine that stops answering later is a BenchError.
    """
    try:
        from docker.api import APIClient
        from docker.constants import DEFAULT_UNIX_SOCKET
        from docker.errors import APIError, DockerException
        from docker.utils import kwargs_from_env
    except (
        ImportError
    ) as error:  # a checkout's folder docker/ is importable, so that `import docker` alone proves nothing
        raise MachineError(
            f"the Docker SDK for Python is not installed ({error}); in the checkout: pip install -e '.[image]'"
        ) from error
    address = os.environ.get("DOCKER_HOST") or DEFAULT_UNIX_SOCKET.removeprefix("http+")
    clients = []
    try:
        try:
            clients.append(APIClient(**kwargs_from_env(), version=".".join(map(str, LEAST_API))))
            found = clients[0].version(api_version=False)["ApiVersion"]
            if tuple(map(int, found.split("."))) < LEAST_API:
                raise MachineError(
                    f"the Docker engine at {address} is too old: it speaks API {found}, "
                    f"{'.'.join(map(str, LEAST_API))} is needed; install Docker Engine 20.10 or later"
                )
            clients.append(APIClient(**kwargs_from_env(), version=found))
        except (APIError, requests.RequestException, KeyError, TypeError, ValueError) as error:
            raise _unreachable(address, error) from error
        except DockerException as error:  # the SDK's own checks, before it asks anybody
            raise UsageError(
                f"the Docker SDK refuses its settings (DOCKER_HOST={address}, ~/.docker/config.json): "
                f"{one_line(error)}; an address looks like unix:///var/run/docker.sock or tcp://host:2375"
            ) from error
        try:
            yield Engine(clients[1], address)
        except APIError as error:
            raise BenchError(f"the Docker engine at {address} refuses: {explanation(error)}") from error
        except requests.RequestException as error:
            raise lost(address, error) from error
    finally:
        for client in clients:
            client.close()


def lost(address: str, error: BaseException) -> BenchError:
    """What to say when the engine has stopped answering."""
    return BenchError(
        f"the Docker engine at {address} stopped answering ({_cause(error)}); see its log, start it and try again"
    )


def answered(error: requests.RequestException) -> bool:
    """Whether the engine has refused a request, and has not fallen silent."""
    from docker.errors import APIError

    return isinstance(error, APIError)


def explanation(error: BaseException) -> str:
    """What the engine said, without the request around it."""
    return one_line(getattr(error, "explanation", None) or error)


def one_line(text: object) -> str:
    """Words of a text with all white space made single blanks, at most 400 characters."""
    words = " ".join(str(text).split())
    return words if len(words) <= 400 else f"{words[:399]}…"


def _unreachable(address: str, error: BaseException) -> BenchError:
    cause = _os_error(error)
    if cause is not None and cause.errno in (errno.EACCES, errno.EPERM):
        return MachineError(
            f"no permission to use the Docker engine at {address}; join its group and log in again: "
            'sudo usermod -aG docker "$USER"'
        )
    if isinstance(error, requests.RequestException):
        return MachineError(
            f"no Docker engine answers at {address} ({_cause(error)}); install or start one "
            "(systemctl start docker), or name another with DOCKER_HOST"
        )
    return MachineError(
        f"what answers at {address} is no Docker engine ({type(error).__name__}: {one_line(error)}); "
        "name one with DOCKER_HOST"
    )


def _cause(error: BaseException) -> str:
    found = _os_error(error)
    return found.strerror if found is not None and found.strerror else one_line(error)


def _os_error(error: BaseException) -> OSError | None:
    """The system's own error inside of what `requests` makes of it: in its causes or its arguments."""
    seen: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        this = pending.pop(0)
        if isinstance(this, tuple):
            pending += this
        if not isinstance(this, BaseException) or this in seen:
            continue
        if isinstance(this, OSError) and this.errno is not None:
            return this
        seen.append(this)
        pending += [*this.args, getattr(this, "reason", None), this.__cause__, this.__context__]
    return None


def _socket(address: str) -> Path | None:
    parts = urlsplit(address)
    return Path(f"/{parts.netloc}{parts.path}".replace("//", "/")) if parts.scheme == "unix" else None
