"""A Session whose steps spin on the clock and whose weights only count the steps."""

import atexit
import fcntl
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.windows import Dataset, Indices
from bench.implementation import Arrays, Metrics, Setup, State

MILLISECOND_NS = 1_000_000
PLANTED_NS = {"import": 300 * MILLISECOND_NS, "build": 400 * MILLISECOND_NS, "stage": 250 * MILLISECOND_NS,
              "first_step": 500 * MILLISECOND_NS, "teardown": 350 * MILLISECOND_NS}  # fmt: skip
"""What `fake-slow-start` spends where."""
STEP_NS = {
    "fake-1ms": 1_000_000,
    "fake-10ms": 10_000_000,
    "fake-100ms": 100_000_000,
    "fake-waits": 40_000_000,
}
EPOCH_STEP_NS = 20_000  # 500 of them in a test
FAILING_STEP = 3
DEVICES = ("fake-device", "fake-forgets")
"""Arms whose steps run elsewhere; `fake-forgets` does not wait for them."""
HOARD_BYTES = 64_000_000
SPREAD = 0.1
"""Of the outputs of `fake-learns` over the samples of a batch, before any step."""
WAITING_EPOCH = 3
"""In the middle of which `fake-learns` waits to be killed, where a test wants it."""


def open_session(setup: Setup) -> "FakeSession":
    """The session of any fake arm."""
    return FakeSession(setup)


def spin(nanoseconds: int) -> None:
    end = time.perf_counter_ns() + nanoseconds
    while time.perf_counter_ns() < end:
        pass


class FakeSession:
    """Trains nothing; keeps the contract's order and shapes, and goes wrong the way its name says."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.name = setup.arm.name
        self.steps = 0
        self.cold_step = True
        self.spun_ns: list[int] = []
        self.batches: list[Indices] = []
        self.staged: list[int] = []
        self.weights: dict[str, NDArray[np.floating]] = {}
        self.memory = 0.0
        """As an optimiser has one: part of the state, no weight."""
        self.epochs = 0
        cache = os.environ.get("FAKE_CACHE")
        self.cold = not cache or not Path(cache, "compiled").exists()
        if cache:
            Path(cache, "compiled").write_text("as a compiler would")
        if self.name == "fake-slow-start":
            spin(PLANTED_NS["build"])
            atexit.register(spin, PLANTED_NS["teardown"])
        self.queue: queue.Queue[int] = queue.Queue()
        self.waits = self.name == "fake-device"
        if self.name in DEVICES:
            threading.Thread(target=self._device, daemon=True).start()
        alone = Path(os.environ.get("BENCH_CACHE_DIR", ""), "alone")  # there on a machine that is to have one at a time
        if alone.is_file():
            fcntl.flock(os.open(alone, os.O_WRONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self.name == "fake-raises":
            raise RuntimeError("no model today\nsecond line")

    def versions(self) -> dict[str, str]:
        wanted = ("OMP_NUM_THREADS", "FAKE_THREADS", "PYTHONHASHSEED", "PYTEST_ADDOPTS", "FAKE_STRAY")
        return {
            "cold": str(self.cold),
            "affinity": str(len(os.sched_getaffinity(0))),
            "pid": str(os.getpid()),
            "folder": str(Path.cwd()),
            "spun_ns": " ".join(map(str, self.spun_ns)),
            "staged": " ".join(map(str, self.staged)),
            **{name: os.environ.get(name, "unset") for name in wanted},
        }

    def summary(self) -> list[tuple[str, tuple[int, ...], int]]:
        return [(row.name, row.output_shape, row.parameters) for row in self.setup.workload.summary()]

    def _device(self) -> None:
        while True:
            self.queue.get()
            time.sleep(STEP_NS["fake-10ms"] * 1e-9)  # the host is free meanwhile
            self.queue.task_done()

    def stage(self, dataset: Dataset) -> None:
        if self.name == "fake-slow-start":
            spin(PLANTED_NS["stage"])
        dataset.gather(dataset.validation_batches()[0])

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        assert len({len(batch) for batch in batches}) == 1, "staged batches must be of one shape"
        if self.name == "fake-one-shape" and self.batches:
            raise ValueError("no other batch size, please")
        self.batches = list(batches)
        self.staged.append(len(batches[0]))

    def train_step(self, number: int) -> None:
        assert self.batches, "nothing staged"
        self.steps += 1
        if self.steps == FAILING_STEP:
            self._go_wrong()
        if self.name in DEVICES:
            self.queue.put(number)
            return
        if self.name == "fake-slow-start" and self.cold_step:
            self.cold_step = False
            spin(PLANTED_NS["first_step"])
        start_ns = time.perf_counter_ns()
        spin(STEP_NS.get(self.name, 100_000))
        self.spun_ns.append(time.perf_counter_ns() - start_ns)

    def _go_wrong(self) -> None:
        match self.name:
            case "fake-raises-late":
                print("a last word before the end", flush=True)
                raise ValueError("step 3 is one too many")
            case "fake-hangs":
                # A child in a session of its own, which would outlive the process group.
                stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
                print(f"stray {stray.pid}", flush=True)
                waiting = Path(tempfile.gettempdir(), "fake-hangs.fifo")
                if waiting.exists():  # opening it waits for a test that reads
                    waiting.write_text(f"{os.getpid()} {stray.pid}")
                time.sleep(600)
            case "fake-waits":
                # One of all cells of a fleet waits: that which takes the token. Its nodes' caches lie side by side.
                node = Path(os.environ["BENCH_CACHE_DIR"]).parent
                try:
                    (node.parent / "token").unlink()
                except FileNotFoundError:
                    return
                (node.parent / "waiting.fifo").write_text(f"{node.name} {os.getpid()}")  # waits for a test that reads
                signal.pause()
            case "fake-allocates":
                hoard = []
                while True:
                    hoard.append(b"x" * HOARD_BYTES)
            case "fake-segfaults":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "fake-killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fake-nan-weights":
                self.weights = {name: np.full_like(value, np.nan) for name, value in self.weights.items()}

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        if self.name == "fake-learns":
            return self._learn(batches)
        for _ in batches:
            spin(EPOCH_STEP_NS)
        return {name: float("nan") if self.name == "fake-nan-loss" else 0.5 for name in self.setup.workload.metrics}

    def _learn(self, batches: Sequence[Indices]) -> Metrics:
        """Moves its last weight by what batches and memory say."""
        self.epochs += 1
        *_, last = self.weights
        for number, batch in enumerate(batches):
            waiting = Path(tempfile.gettempdir(), "fake-learns.fifo")
            if (self.epochs, number) == (WAITING_EPOCH, len(batches) // 2) and waiting.exists():
                waiting.write_text(str(os.getpid()))  # waits for a test that reads
                signal.pause()
            self.memory = 0.9 * self.memory + float(np.sin(batch.sum()))
            self.weights[last] = self.weights[last] + np.float32(0.01 * self.memory)
        return dict.fromkeys(self.setup.workload.metrics, abs(self.memory))

    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        if self.name == "fake-learns":
            *_, last = self.weights
            return dict.fromkeys(self.setup.workload.metrics, float(np.abs(self.weights[last]).mean()))
        for _ in batches:
            spin(EPOCH_STEP_NS)
        return dict.fromkeys(self.setup.workload.metrics, 0.25)

    def predict(self, inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        if self.name == "fake-learns":  # dead, live and partly live starts, as the seed has it
            level = 2 * self.weights["dense.kernel"].sum()
            return (level + np.linspace(0, SPREAD, len(inputs), endpoint=False)).astype(np.float32)
        return np.zeros(len(inputs), np.float32)

    def own_weights(self, seed: int) -> Arrays:
        random = np.random.RandomState([seed, 99])
        return {name: random.standard_normal(shape) for name, shape in self.setup.workload.weights().items()}

    def get_weights(self) -> Arrays:
        self.queue.join()
        return {name: value.copy() for name, value in self.weights.items()}

    def reset(self, weights: Arrays) -> None:
        self.steps = self.epochs = 0
        self.memory = 0.0
        self.weights = {name: value.copy() for name, value in weights.items()}

    def get_state(self) -> State:
        own = {"memory": np.float64(self.memory), "epochs": np.int64(self.epochs)}
        return {name: value.copy() for name, value in self.weights.items()} | own

    def set_state(self, state: State) -> None:
        self.weights = {name: value.copy() for name, value in state.items() if name not in ("memory", "epochs")}
        self.memory, self.epochs = float(state["memory"]), int(state["epochs"])

    def synchronise(self) -> None:
        if self.waits:
            self.queue.join()

    def aside(self) -> tuple[str, Callable[[int], None]] | None:
        return ("spins half as long", lambda _: spin(STEP_NS["fake-10ms"] // 2)) if self.name == "fake-10ms" else None

    def local_step(self, number: int) -> None:
        self.train_step(number)

    def agreed(self, value: float) -> float:
        return value

    def kernels(self, run: Callable[[], None]) -> None:
        return None

    def device_peak_memory_bytes(self) -> int | None:
        return None
