"""The cluster as a fleet sees it: nodes, a station on each, one question to each at a time. Only here is Ray known."""

import contextlib
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from bench.errors import BenchError, MachineError, UsageError
from bench.fleet.station import Station
from bench.interrupt import Deferral

INSTALL = "--cluster: Ray is not installed here; install it with: pip install 'bench[cluster]'"
LOST = (ConnectionError, RuntimeError, OSError, ValueError)
"""What Ray's client raises once its connection is gone, and Ray itself once its head is."""
LOCAL = ("", "local")
"""Ray would start a cluster of its own here, or say something of its own."""
HEAD_S = 10.0
"""For the head to take a connection."""
LINE = 300
"""Characters of what Ray has to say of a death."""
PRIVATE = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\b[0-9a-f]{20,}\b|(?<![\w.])/[\w./-]+")
"""Addresses, ids and paths: what is said of a death is published with the results."""


class ClusterLostError(BenchError):
    """The cluster does not answer any more: what was measured is kept, and the run can be taken up again."""


@dataclass(frozen=True)
class Answer:
    """What a station has answered."""

    node: str
    value: Any


@dataclass(frozen=True)
class Refusal:
    """A station has raised an error: it is there, and cannot do what it was asked."""

    node: str
    reason: str


@dataclass(frozen=True)
class Gone:
    """A station is not there any more, and maybe its node is not either."""

    node: str
    reason: str


Event = Answer | Refusal | Gone


class Cluster(Protocol):
    """What a fleet needs of a cluster; nodes are named by the cluster."""

    address: str

    def nodes(self) -> Sequence[str]:
        """Nodes that are alive and offer processors."""

    def open(self, node: str) -> None:
        """Starts a station there."""

    def ask(self, node: str, what: str, *arguments: Any) -> None:
        """Asks the station for its method `what`; the answer comes with `wait`. One question at a time."""

    def wait(self, timeout_s: float) -> list[Event]:
        """What has come by then; returns with the first."""

    def deferring(self) -> AbstractContextManager[None]:
        """Signals that come meanwhile wait for the next `wait`, so that no answer is lost; a second one does not."""

    def close(self, node: str) -> None:
        """Ends the station, and what it is measuring."""

    def shut(self) -> None:
        """Ends all stations and leaves the cluster."""


class RayCluster:
    """A Ray cluster. Raises a UsageError where there is none at the address, a MachineError where Ray is missing.

    Every method raises a ClusterLostError once the cluster does not answer any more.
    """

    def __init__(self, address: str) -> None:
        if address in LOCAL:
            raise UsageError(f"--cluster {address!r}: is no address; give auto, ray://HOST:PORT or HOST:PORT")
        try:
            import ray
        except ImportError as error:
            raise MachineError(INSTALL) from error
        self._ray, self.address = ray, address
        self._stations: dict[str, Any] = {}
        self._asked: dict[Any, str] = {}
        self._processors: dict[str, float] = {}
        """By node."""
        self._deferral = Deferral()
        self._lost = False
        self._head: tuple[str, int] | None = None
        """Of a driver on a node; one that reached the head's server for clients is told of its end."""
        self._hook = threading.excepthook
        before = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a connection that is tried again: what comes of it is told below
                ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="bench")
        except (*LOST, ray.exceptions.RayError) as error:
            kind = MachineError if address == "auto" else UsageError
            raise kind(
                f"--cluster {address}: no Ray cluster that can be used ({_line(error)}); start one: export "
                "RAY_worker_niceness=0 RAY_memory_monitor_refresh_ms=0 GRPC_ENABLE_FORK_SUPPORT=0, then "
                "ray start --head --num-cpus=0, and ray start --address=HEAD:6379 on every machine; from a "
                "machine that is no node of it: --cluster ray://HEAD:10001"
            ) from error
        finally:
            signal.signal(signal.SIGTERM, before)  # Ray takes it, and would end the driver without a word
        if not ray.util.client.ray.is_connected():
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            self._head = host.strip("[]"), int(port)
        threading.excepthook = self._of_thread

    def nodes(self) -> list[str]:
        """Nodes that are alive and offer processors: the head is started without, as it has other work."""
        with self._answering():
            known = self._ray.nodes()
        self._processors = {node["NodeID"]: node["Resources"].get("CPU", 0) for node in known if node["Alive"]}
        return [node for node, count in self._processors.items() if count]

    def open(self, node: str) -> None:
        """Starts a station there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        whole = self._processors.get(node, 1.0)  # nothing else of Ray's runs there; or it has died meanwhile
        with self._answering():
            actor = self._ray.remote(Station).options(num_cpus=whole, max_restarts=0, scheduling_strategy=there)
            self._stations[node] = actor.remote()

    def ask(self, node: str, what: str, *arguments: Any) -> None:
        """Asks the station for its method `what`."""
        with self._answering():
            self._asked[getattr(self._stations[node], what).remote(*arguments)] = node

    def wait(self, timeout_s: float) -> list[Event]:
        """What has come by then; returns with the first."""
        self._deferral.raise_what_came()
        if not self._asked:
            time.sleep(timeout_s)  # nobody is there, or nobody has anything to do
            return []
        events: list[Event] = []
        try:
            with self._answering():
                self._ray.wait(list(self._asked), num_returns=1, timeout=timeout_s)
                ready, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
                for asked in ready:
                    events.append(self._event(asked))  # noqa: PERF401 - what has come by an error is kept
        except ClusterLostError:
            if not events:  # else the next call raises it
                raise
        return events

    def deferring(self) -> AbstractContextManager[None]:
        """Signals that come meanwhile wait for the next `wait`, so that no answer is lost; a second one does not."""
        return self._deferral.holding()

    def close(self, node: str) -> None:
        """Ends the station, and what it is measuring."""
        self._asked = {asked: other for asked, other in self._asked.items() if other != node}
        if (station := self._stations.pop(node, None)) is not None:
            if self._lost:  # Ray would wait for an answer until it ends this process
                return
            with contextlib.suppress(self._ray.exceptions.RayError, *LOST):  # it is gone already
                self._ray.kill(station)

    def shut(self) -> None:
        """Ends all stations and leaves the cluster."""
        for node in list(self._stations):
            self.close(node)
        with contextlib.suppress(*LOST, self._ray.exceptions.RayError):
            self._ray.shutdown()
        threading.excepthook = self._hook

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Tells an error of the connection from one of a station.

        A signal waits for the next `wait`: in the middle of a call it would leave Ray's client unable to end. A second
        one does not wait.
        """
        import grpc

        try:
            with self._deferral.holding():
                if self._head is not None:
                    # Ray itself would end this process without a word of ours, a minute after its head.
                    socket.create_connection(self._head, HEAD_S).close()
                yield
        except (*LOST, grpc.RpcError, self._ray.exceptions.RayError) as error:
            self._lost = True
            raise ClusterLostError(f"--cluster {self.address}: does not answer any more ({_line(error)})") from error

    def _of_thread(self, told: threading.ExceptHookArgs) -> None:
        """Not of a thread of Ray's whose connection ends: that the cluster is lost is told in one line."""
        if not isinstance(told.exc_value, self._ray.exceptions.RayError):
            self._hook(told)

    def _event(self, asked: Any) -> Event:
        node = self._asked.pop(asked)
        try:
            return Answer(node, self._ray.get(asked))
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            told = _plain(str(cause)) if isinstance(cause, BenchError) else f"{type(cause).__name__}: {_line(cause)}"
            return Refusal(node, told)
        except self._ray.exceptions.RayError as error:
            self.close(node)
            return Gone(node, _line(error))


def _line(error: BaseException) -> str:
    """An error on one line: its first, and its last, which often is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return _plain("; ".join(dict.fromkeys((lines[0][:LINE], lines[-1][:LINE]))))


def _plain(told: str) -> str:
    """Without what is somebody's own."""
    return PRIVATE.sub("…", told)
