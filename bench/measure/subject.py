"""What one cell measures: the arm's session with its data and weights, opened once and used by every phase."""

import importlib
import math
import os
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest

import bench.data
from bench import cell, checkpoint, probe, weights
from bench.catalogue import load
from bench.cell import Request
from bench.counters import OwnTime
from bench.data.windows import Dataset, Indices
from bench.derived import taints
from bench.energy import Meter
from bench.environment import cpu_budget
from bench.errors import BenchError
from bench.implementation import Metrics, Session, Setup, arm, open_session
from bench.measure.ledger import Ledger
from bench.measure.watch import Unwatched, Watch
from bench.record import CEILING, CurvePoint, Energy, KernelPath, Start, Tested
from bench.sentinel import own_cpu_s
from bench.workload import Workload

STAGED_BATCHES = 16
"""Different batches that `train_step` turns through: more than a cache of one, few enough for any device."""

VALIDATION_SHARE = 3
"""A step of evaluation has the forward pass only: about a third of a training step."""


class DivergedError(BenchError):
    """Training went to NaN or infinity: the times would be those of another computation."""


class Peaks(NamedTuple):
    """Most memory held so far, in bytes; None where there is no such reading."""

    host: int | None
    allocator: int | None
    """Of the device, as the framework's allocator counts it."""
    process: int | None
    """Of the device, as the driver counts it for this process."""


class Subject:
    """One session per process; `session` opens it on first use."""

    def __init__(self, request: Request, ledger: Ledger) -> None:
        self.request = request
        self.ledger = ledger
        self.devices = 1 if request.workload == CEILING else self.workload.devices
        own = own_cpu_s if request.place is None else OwnTime(head=os.getppid())
        self.watch = Unwatched() if request.place else Watch(request.device, ledger.zero_s, own, self.devices)
        self.energies: list[Energy] = []
        self.disturbed_rounds = 0
        """Of `train_step`, in so many rounds something else was going on."""
        self.arm = arm(request.arm, request.device)
        self.energy = Meter(request.device, count=self.devices)
        self.threads = request.threads or cpu_budget()
        self.times_s: dict[str, float] = {}
        """Of the parts of getting ready, by name."""
        self.trained: tuple[Metrics, float] | None = None
        """Metrics and seconds of the first epoch, for its point on the curve."""
        self.step_s: float | None = None
        """Median step time, once it is measured."""
        self.skipped: str | None = None
        """Why epoch and validate are left out."""
        self.peaks_bytes: Peaks | None = None
        """None: not noted yet."""
        self.tested: Tested | None = None
        self.starts: list[Start] = []
        self.kernels: KernelPath | None = None
        self.resumed: tuple[int, ...] = ()
        self.unused_checkpoint: str | None = None
        """Why a checkpoint that was there was left alone."""
        self.diverged = False
        self._session: Session | None = None

    @cached_property
    def workload(self) -> Workload:
        return load(self.request.workload).with_settings(head=self.request.head, gate=self.request.gate)

    @cached_property
    def dataset(self) -> Dataset:
        start_s = time.perf_counter()
        if self.request.prepared is not None:
            found = bench.data.open_saved(Path(self.request.prepared))
        else:
            kind, named = self.request.data, self.request.data_dir
            found = bench.data.load(self.workload, kind, Path(named) if named else None)
        self.times_s["data_s"] = time.perf_counter() - start_s
        return found

    @cached_property
    def initial_weights(self) -> weights.Weights:
        if self.request.weights is not None:
            return weights.load(Path(self.request.weights))
        return weights.initial_weights(self.workload, self.request.seed)

    @cached_property
    def staged_batches(self) -> list[Indices]:
        """Whole batches only: the short last one has a shape of its own."""
        batches = self.train_batches(1)
        return [batch for batch in batches if len(batch) == len(batches[0])][:STAGED_BATCHES]

    def train_batches(self, epoch: int) -> list[Indices]:
        return self.dataset.train_batches(self.request.seed, epoch)

    def make_ready(self) -> None:
        """Everything that comes before a session: data, weights and the framework's import."""
        assert self._session is None, "measure_first_step.py must be measured before the other phases; name it first"
        self.ledger.mark("suite")
        _ = self.staged_batches, self.initial_weights
        self.ledger.mark("data")
        start_s = time.perf_counter()
        importlib.import_module(self.arm.session.partition(":")[0])
        self.times_s["import_s"] = time.perf_counter() - start_s
        self.ledger.mark("import")

    def open(self) -> Session:
        """Builds the model and puts data and weights in place; the parts' times go into `times_s`."""
        request = self.request
        marks_s = [time.perf_counter()]
        workload = self.workload
        setup = Setup(self.arm, workload, request.device, self.threads, workload.precision, request.seed)
        session = open_session(setup)
        self.ledger.mark("build")
        marks_s.append(time.perf_counter())
        session.stage(self.dataset)
        session.stage_batches(self.staged_batches)
        marks_s.append(time.perf_counter())
        session.reset(self.initial_weights)
        self.ledger.mark("stage")
        marks_s.append(time.perf_counter())
        names = ("open_s", "stage_s", "reset_s")
        self.times_s.update({name: end - begin for name, begin, end in zip(names, marks_s, marks_s[1:], strict=False)})
        self._session = session
        return session

    @property
    def session(self) -> Session:
        if self._session is None:
            self.make_ready()
            self.open()
        assert self._session is not None
        return self._session

    @property
    def opened(self) -> Session | None:
        """The session if a phase has opened one."""
        return self._session

    def warm_up_epoch(self) -> None:
        """Compiles the epoch's and the evaluation's code for both batch shapes, then starts afresh."""
        train, validation = self.train_batches(1), self.dataset.validation_batches()
        self.session.reset(self.initial_weights)
        self.session.epoch([train[0], train[-1]])
        self.session.evaluate([validation[0], validation[-1]])
        self.session.reset(self.initial_weights)

    def note_peak_memory(self) -> None:
        """Takes the peaks as they are now for the arm's; what comes after is not its own.

        Of host memory, those of all processes of the cell; of device memory, that of the first device.
        """
        opened, process = self.opened, self.watch.largest("gpu_process_bytes")
        processes = ["self"] if self.request.place is None else children_of_parent()
        held = [peak_memory_bytes(each) for each in processes]
        self.peaks_bytes = Peaks(
            None if None in held else sum(each for each in held if each is not None),
            opened.device_peak_memory_bytes() if opened else None,
            None if process is None else int(process),
        )

    def note_energy(self, steps: int) -> None:
        """Ends the reading of energy that was started before so many steps."""
        self.energies.append(self.energy.stop(steps))

    def count_disturbed(self, starts_s: Sequence[float], rounds_s: Sequence[float]) -> int:
        """How many of these rounds lie in a window in which something else was going on."""
        ends_s = (start_s + round_s for start_s, round_s in zip(starts_s, rounds_s, strict=True))
        return sum(bool(taints(self.watch.windows, *span)) for span in zip(starts_s, ends_s, strict=True))

    def skip_if_too_long(self) -> None:
        """Ends an `epoch` or `validate` before it starts when by the measured step time both exceed their limit."""
        limit_s = self.request.epoch_limit_s
        if limit_s is None or self.step_s is None:
            return
        steps = len(self.train_batches(1)) + len(self.dataset.validation_batches()) / VALIDATION_SHARE
        seconds = self.session.agreed(steps * self.step_s)
        if seconds > limit_s:
            self.skipped = f"epoch and validate take about {seconds:.0f} s, {limit_s:.0f} s are left for them"
            pytest.skip(self.skipped)

    def check_weights(self) -> None:
        """Raises DivergedError, naming the weight, unless all weights are finite."""
        for name, values in self.session.get_weights().items():
            if not np.all(np.isfinite(values)):
                raise DivergedError(f"weight {name} of {self.arm.name} is not finite after training steps")

    def check_metrics(self, what: str, metrics: Metrics) -> None:
        """Raises DivergedError unless every metric of the workload is there and finite."""
        for name in self.workload.metrics:
            if not math.isfinite(metrics[name]):
                raise DivergedError(f"{name} of {self.arm.name} is {metrics[name]} {what}")

    def add_point(self, point: CurvePoint) -> None:
        """Puts one epoch of the learning curve on disk, if there is a place for it."""
        if self.request.out is not None:
            cell.add_point(Path(self.request.out), point)

    @cached_property
    def about(self) -> checkpoint.About:
        """What a training in this process is of."""
        installed = (probe.installed(requirement) for requirement in self.arm.distributions)
        return checkpoint.About(
            workload=self.request.workload,
            digest=self.workload.digest(),
            arm=self.arm.name,
            device=self.request.device,
            seed=self.request.seed,
            threads=self.threads,
            weights=checkpoint.hash_of(self.initial_weights),
            data=self.dataset.source,
            versions=dict(found for found in installed if found is not None),
        )


def children_of_parent() -> list[str]:
    """Process ids of this process and of those that were started beside it."""
    parent = psutil.Process().parent()
    return [str(child.pid) for child in parent.children()] if parent is not None else ["self"]


def peak_memory_bytes(process: str = "self") -> int | None:
    """Most memory a process held resident so far (VmHWM); None where the kernel does not tell.

    Not ru_maxrss, which survives exec: a child of a large parent would start with its parent's peak.
    """
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
