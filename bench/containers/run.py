"""One run of `bench` in a container: created, followed to its end, and removed whatever happens."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import requests

from bench.containers import owners, refusals
from bench.containers.engine import Engine, answered, connected, explanation, lost
from bench.containers.settings import DEVICE_LABEL, Order, check_mounts, creation, needs_gpu
from bench.errors import BenchError, MachineError, UsageError
from bench.interrupt import INTERRUPTED

if TYPE_CHECKING:
    from socket import SocketIO

STOP_S = 10
"""Between SIGTERM and SIGKILL, as `docker stop` has it."""
KILLED, TERMINATED = 137, 143
"""128 + the signal; SIGTERM where it came before bench was there to take it."""


def run(order: Order, say: owners.Say) -> int:
    """Runs the container and passes its output on while it runs; its exit code. Call it within `interruptible`.

    130 where an interruption had to kill it in the end. UsageError: what was ordered is refused. MachineError: the
    engine, the image or a GPU is not there. BenchError: the container or the engine went away while it ran.
    """
    with connected() as engine:
        owners.sweep(engine, say)
        check_mounts(order, engine)
        image = _inspected(order, engine)
        with _cleaned_up(engine, say):
            try:
                return _measure(order, engine, image, say)
            except requests.RequestException as error:
                if answered(error):
                    raise
                raise BenchError(f"{lost(engine.address, error)}; what was measured is in {order.out}") from error


def _inspected(order: Order, engine: Engine) -> dict[str, Any]:
    """What the engine knows of the order's image; a UsageError where it is not the expected one."""
    image = engine.image(order.image)
    if image is None:
        raise (UsageError if order.named else MachineError)(
            f"image {order.image}: the Docker engine at {engine.address} does not have it; build it with "
            "bench image build, or name another with --image"
        )
    if DEVICE_LABEL not in (image["Config"]["Labels"] or {}):
        raise UsageError(
            f"image {order.image}: is no image of bench, for it lacks the label {DEVICE_LABEL}; "
            "build one with bench image build"
        )
    if order.expected not in (None, image["Id"]):
        raise UsageError(
            f"--image {order.image}: is {image['Id']}, the run was measured in {order.expected}; leave out --image, or "
            "start a new run"
        )
    return image


def _measure(order: Order, engine: Engine, image: Mapping[str, Any], say: owners.Say) -> int:
    from docker.errors import APIError

    try:
        container: str = engine.client.create_container(**creation(order, engine, image, os.environ))["Id"]
    except APIError as error:
        raise refusals.not_created(order, engine, error) from error
    copy = _Copy(engine.client.attach_socket(container, params={"stdout": 1, "stderr": 1, "stream": 1}), order)
    copy.start()  # before the container: nothing it says is missed
    interrupted = False
    try:
        _start(order, engine, image, container)
        copy.join()
    except KeyboardInterrupt:
        interrupted = True
    return _ended(order, engine, container, copy, interrupted, say)


def _ended(order: Order, engine: Engine, container: str, copy: "_Copy", interrupted: bool, say: owners.Say) -> int:
    """The exit code of a container that has ended, or is to end because this process is interrupted or not heard."""
    from docker.errors import NotFound

    try:
        if interrupted or copy.refused is not None:
            engine.client.stop(container, timeout=STOP_S)
            copy.join(STOP_S)
        code: int = engine.client.wait(container)["StatusCode"]
        state = engine.client.inspect_container(container)["State"]
    except NotFound as error:
        raise BenchError(
            f"container {container[:12]} was removed by somebody else; what was measured is in {order.out}"
        ) from error
    if interrupted and code == KILLED:
        say(f"the container did not end within {STOP_S} s and was killed; what was measured is in {order.out}")
    if interrupted and (code in (KILLED, TERMINATED) or state["StartedAt"].startswith("0001")):  # or never started
        return INTERRUPTED
    if copy.refused is not None:
        raise BenchError(
            f"standard output cannot be written ({copy.refused.strerror}); the container was stopped, what was "
            f"measured is in {order.out}"
        )
    if state["OOMKilled"] and code == KILLED:
        limit = "no --memory" if order.memory_bytes is None else f"--memory is {order.memory_bytes / 2**30:.2g} GiB"
        raise BenchError(
            f"the container was killed, out of memory ({limit}); allow it more; what was measured is in {order.out}"
        )
    return code


class _Copy(threading.Thread):
    """Copies what the container writes to the same streams of this process, byte for byte, until it ends."""

    def __init__(self, source: "SocketIO", order: Order) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._tty = order.tty
        self.refused: OSError | None = None
        """Why this process' own streams took no more."""

    def run(self) -> None:
        from docker.utils.socket import frames_iter

        connection = getattr(self._source, "_sock", self._source)  # it outlives its file, and the SDK forgets it
        # Where the engine is gone, asking it for the exit code will show that.
        with contextlib.closing(connection), self._source, contextlib.suppress(ConnectionError):
            for stream, data in frames_iter(self._source, self._tty):  # type: ignore[no-untyped-call]
                try:
                    _write(stream, data)
                except OSError as error:
                    self.refused = error
                    return


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of it, past Python's buffers: one that cannot be emptied would be tried again at exit."""
    while data:
        data = data[os.write(descriptor, data) :]


def _start(order: Order, engine: Engine, image: Mapping[str, Any], container: str) -> None:
    """Starts the container and gives its terminal, if it has one, the size of this one."""
    from docker.errors import APIError

    try:
        engine.client.start(container)
    except APIError as error:
        raise refusals.not_started(order, error, gpu=needs_gpu(order, image)) from error
    if order.tty:
        width, height = shutil.get_terminal_size()
        with contextlib.suppress(APIError):  # it has ended already
            engine.client.resize(container, height, width)


@contextlib.contextmanager
def _cleaned_up(engine: Engine, say: owners.Say) -> Iterator[None]:
    try:
        yield
    finally:
        try:
            owners.remove_mine(engine)
        except requests.RequestException as error:
            say(f"the container could not be removed ({explanation(error)}); the next bench image run will do it")
