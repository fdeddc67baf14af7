"""A Ray cluster on this machine for tests: a head without processors, and nodes that stand for machines.

Each node is a process group of its own with its own cache and temporary folder; to kill the group is to pull the plug.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
import psutil

UP_S = 60.0  # a head takes 5 s here; more only where the machine is choked
UP = "Ray runtime started."
"""What `ray start` says once it has."""
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Ray lets in nobody who does not know it: variables of every node and driver."""
SMALLEST_STORE = str(80_000_000)  # bytes; Ray takes no less


class Nodes:
    """`start` brings a node up, `kill` takes one away without a word; `stop` ends everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.client_port = _free_port(), _free_port()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # The path of a socket in it must not be longer than 107 bytes: no folder of pytest's.
        self._temporary = Path(f"/tmp/ray-{os.getpid()}-{self.port}")
        self._run(
            "head",
            *("--head", f"--port={self.port}", f"--ray-client-server-port={self.client_port}", "--num-cpus=0"),
            *("--include-dashboard=false", f"--temp-dir={self._temporary}"),
        )
        self._wait_for("head", lambda: _answers(self.port) and _answers(self.client_port))

    @property
    def address(self) -> str:
        """What `--cluster` is given: a driver that is no node of the cluster."""
        return f"ray://127.0.0.1:{self.client_port}"

    @property
    def direct(self) -> str:
        """The same of a driver that runs where the head does."""
        return f"127.0.0.1:{self.port}"

    def start(self, name: str, core: int | None = None, **more: str) -> None:
        """Brings a node up, on one core or on all; `more` are variables of its environment."""
        self.cache(name).mkdir(parents=True, exist_ok=True)
        (self.cache(name) / "alone").touch()  # a fake arm fails where another one lives on the machine
        self._run(name, f"--address=127.0.0.1:{self.port}", "--num-cpus=1", core=core, **more)
        self._wait_for(name, lambda: UP in self.output(name))  # two at once on one machine get in each other's way

    def _wait_for(self, name: str, is_up: Callable[[], bool]) -> None:
        until_s = time.monotonic() + UP_S
        while not is_up():
            if time.monotonic() > until_s or self._running[name].poll() is not None:
                said = self.output(name)
                self.stop()
                raise AssertionError(said)
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """Every process of the node at once."""
        process = self._running.pop(name)
        # What Ray starts for a client is in a group of its own.
        others = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for other in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                other.kill()
        psutil.wait_procs(others, timeout=UP_S)
        process.wait()

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self.kill(name)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def cache(self, name: str) -> Path:
        """Where the node keeps its data."""
        return self.folder / name / "cache"

    def output(self, name: str) -> str:
        return (self.folder / name / "output.log").read_text()

    def _run(self, name: str, *words: str, core: int | None = None, **more: str) -> None:
        own = self.folder / name
        (own / "tmp").mkdir(parents=True, exist_ok=True)
        environment = harness.environment(own / "tmp") | {
            "BENCH_CACHE_DIR": str(self.cache(name)),
            "RAY_USAGE_STATS_ENABLED": "0",
            "GRPC_ENABLE_FORK_SUPPORT": "0",  # or the process that serves a client may die as it is forked
            "RAY_worker_niceness": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # on a choked machine its own 30 s are too short
            "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "2",  # seconds: a killed driver does not come back
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "4",
            **TOKEN,
            **more,
        }
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={SMALLEST_STORE}"]
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        with (own / "output.log").open("ab") as stream:
            self._running[name] = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=stream, cwd=own, start_new_session=True
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
