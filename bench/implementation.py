"""The contract between the suite and an implementation, and the one place that loads one, by name.

An implementation is a package `impl_*` on the import path whose `ARMS` declares its arms; importing the package
must not import a framework. `Arm.session` names the function that opens a Session: only then is the framework loaded.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data.windows import Dataset, Indices
from bench.errors import UsageError
from bench.workload import Precision, Workload

Device = Literal["cpu", "gpu"]
Tier = Literal["published", "stock", "tuned"]
Arrays = Mapping[str, NDArray[np.floating]]
"""Arrays by canonical name: weights and gradients (`conv1.kernel`), dropout masks (`gru.input`)."""
State = Mapping[str, NDArray[np.generic]]
"""What training goes on from, by name: arrays of numbers, no objects."""
Metrics = dict[str, float]
"""The names of `Workload.metrics`, as means over samples."""


@dataclass(frozen=True)
class Arm:
    """One contestant, declared without importing its framework."""

    name: str
    framework: str
    """Chooses the interpreter: `BENCH_PYTHON_<FRAMEWORK>`, in capitals."""
    tier: Tier
    session: str
    """`module:function`; the function takes a Setup and returns a Session."""
    distributions: tuple[str, ...]
    """Installed packages it cannot do without; their versions go into every result. A name may list alternatives
    with `|`: `tensorflow|tensorflow-cpu`."""
    devices: tuple[Device, ...] = ("cpu", "gpu")
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its processes. `{cache}` stands for the folder of its compile caches, `{threads}` for
    the CPU budget."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What distinguishes it from a framework's defaults, in words, for the report."""
    precisions: tuple[Precision, ...] = ("float32",)
    """Of the workloads it can be measured on."""
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parts of the names of kernels that run on a GPU in its training step, by the kind of layer that brings them; ""
    stands for any model. Without one of them it took another path than it declares."""
    needs_compiler: bool = False
    """Needs a working C++ compiler on the CPU."""
    initialisers: str = ""
    """Whose own initial weights `Session.own_weights` draws; empty: it has no such method."""
    engine: str = ""
    """Of its framework, that trains it on several devices, in words; empty: it has none."""
    single: str = "only stock arms are trained on several devices"
    """Why it has none."""
    launcher: str = ""
    """Module that starts one process for each device, in front of the process' own; empty: one has all devices."""
    ceiling: str = ""
    """`module:function` of what its framework reaches at most, see `open_ceiling`; empty: it has none to measure."""


class Kernel(NamedTuple):
    """What ran on a device, a copy or a computation, by the clock of its profiler."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Ceilings:
    """What a framework's own operations reach on the device, in the form its users run them.

    Each makes, of a size, a function that computes on arrays that lie on the device and returns once it is done.
    """

    product: Callable[[int], Callable[[], object]]
    """Multiplies two float32 matrices of n by n at full precision and returns the product."""
    stream: Callable[[int], Callable[[], object]]
    """Moves so many bytes: doubles a float32 array of half as many, and returns the other half."""
    chain: Callable[[int], Callable[[], object]] | None = None
    """Computes n float32 operations of which each needs the one before; None where a framework has no means to."""


@dataclass(frozen=True)
class Setup:
    """What a Session is opened with."""

    arm: Arm
    workload: Workload
    device: Device
    threads: int
    """CPU threads the framework may use for its mathematics."""
    precision: Precision
    """Of this session: the workload's, or float64 for the parity gate."""
    seed: int = 0
    """Of the framework's own random draws (dropout masks)."""


class Session(Protocol):
    """One model of one arm in this process. Methods may return before the device is done; `synchronise` waits.

    A training step computes what the framework's own training step does: forward, loss, gradients, RMSprop update,
    and the running means of the workload's metrics.
    """

    def versions(self) -> dict[str, str]:
        """Flags, thread counts and library versions this session really runs with, read from the framework."""

    def summary(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Layer name, output shape without the batch, parameter count, as the framework's own model has them."""

    def stage(self, dataset: Dataset) -> None:
        """Puts the data set's arrays where training reads them: device memory. Once, before `epoch` or `evaluate`."""

    def stage_batches(self, batches: Sequence[Indices]) -> None:
        """Gathers these batches of the staged data set on the device, for `train_step`."""

    def train_step(self, number: int) -> None:
        """One optimiser update on staged batch `number` modulo their count. Does not wait for the device."""

    def epoch(self, batches: Sequence[Indices]) -> Metrics:
        """One pass over these batches the way a user of the framework trains; waits once, at the end."""

    def evaluate(self, batches: Sequence[Indices]) -> Metrics:
        """Metrics in evaluation mode over these batches, in order; waits once, at the end."""

    def predict(self, inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        """(batch, *input_shape) → (batch,) raw outputs of the last layer, in evaluation mode."""

    def loss_and_gradients(
        self, inputs: NDArray[np.generic], targets: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], float, Arrays]:
        """Training-mode predictions (batch,), mean loss, dense gradient of every weight. Changes no weight.

        Uses the masks given to `set_masks`; without them, the framework's own.
        """

    def training_forward(self, inputs: NDArray[np.generic]) -> tuple[NDArray[np.floating], Arrays]:
        """Training-mode predictions (batch,), and the masks the framework drew for them, scaled by 1/(1-p)."""

    def set_masks(self, masks: Arrays | None) -> None:
        """Dropout masks to use in training instead of drawing them, shapes as `Workload.masks`; None: draw again."""

    def get_weights(self) -> Arrays:
        """Copies of all weights by canonical name, in canonical layout."""

    def reset(self, weights: Arrays) -> None:
        """Sets all weights, and puts the optimiser's state and the running metrics back to zero."""

    def own_weights(self, seed: int) -> Arrays:
        """Initial weights as the framework's own initialisers draw them from `seed`; this session stays as it is."""

    def get_state(self) -> State:
        """Copies of everything that training goes on from between two epochs.

        Weights, the optimiser's slots and step count, the random state its dropout masks are drawn from; not what is
        staged, nor the masks of `set_masks`. Names and layouts are the framework's. Changes nothing.
        """

    def set_state(self, state: State) -> None:
        """Goes on from there: what `get_state` returned in a session of the same Setup, in any process."""

    def local_step(self, number: int) -> None:
        """`train_step` without the exchange of gradients: every device goes on from those of its own part.

        Only where several devices share a batch; what it costs less than `train_step` is communication. Afterwards the
        devices' weights differ until `reset`.
        """

    def agreed(self, value: float) -> float:
        """`value` as the first process has it, where several train together and must decide alike; else itself."""

    def synchronise(self) -> None:
        """Returns when every update asked for so far has been computed."""

    def aside(self) -> "tuple[str, Callable[[int], None]] | None":
        """A training step worth timing beside this arm's although it is not the workload's mathematics.

        What it is, in words, and its `train_step`, on the batches staged here and a model of its own. None: there is
        no such thing.
        """

    def kernels(self, run: Callable[[], None]) -> "Sequence[Kernel] | None":
        """What ran on the device from the start of `run` to its end, as the framework's profiler saw it; None: a CPU.

        `run` ends by waiting for the device.
        """

    def device_peak_memory_bytes(self) -> int | None:
        """Most device memory the framework's allocator held in this process; None where there is no such reading."""


def declared() -> Sequence[Arm]:
    """What every `impl_*` package on the import path declares, in the packages' order.

    An arm may have another framework on another device: then it is declared for each.
    """
    found: list[Arm] = []
    for module in sorted(module.name for module in pkgutil.iter_modules() if module.name.startswith("impl_")):
        for arm in importlib.import_module(module).ARMS:
            if any(arm.name == other.name and set(arm.devices) & set(other.devices) for other in found):
                raise ValueError(f"{module} declares arm {arm.name!r}, which is declared for that device already")
            found.append(arm)
    return found


@functools.cache
def arms(device: Device = "cpu") -> Mapping[str, Arm]:
    """Every arm by name, as it is on the device; one that is not for it as it is elsewhere."""
    found: dict[str, Arm] = {}
    for arm in declared():
        if arm.name not in found or device in arm.devices:
            found[arm.name] = arm
    return found


def arm(name: str, device: Device = "cpu") -> Arm:
    """The arm of that name on the device; a UsageError names the known ones otherwise."""
    if name not in arms():
        raise UsageError(f"--arm {name}: no such arm; known are {', '.join(arms())}")
    return arms(device)[name]


def launched(command: Sequence[str], arm: Arm, devices: int) -> list[str]:
    """The command of a process, as it is started where so many devices train together: `python -P -m module …`."""
    if devices == 1 or not arm.launcher:
        return list(command)
    python, isolated, as_module, *rest = command
    return [python, isolated, as_module, arm.launcher, str(devices), *rest]


def die_with(parent: int) -> None:
    """What a launcher, and each process that it starts, calls first: it ends when `parent`, which started it, does."""
    from bench.process import die_with_parent  # Linux only, which declaring an arm is not

    die_with_parent(parent)


def open_session(setup: Setup) -> Session:
    """Imports the arm's framework and opens a session in this process."""
    module, function = setup.arm.session.split(":")
    session: Session = getattr(importlib.import_module(module), function)(setup)
    return session


def open_ceiling(of: Arm, device: Device, threads: int) -> Ceilings:
    """Imports the arm's framework and makes it ready to multiply matrices, without a model or data."""
    module, function = of.ceiling.split(":")
    ceilings: Ceilings = getattr(importlib.import_module(module), function)(device, threads)
    return ceilings
