"""How long a cell will take and what it will hold in memory: assumed at first, then what this run measured.

The assumptions are rough on purpose and stand in one place; a plan prints them. They decide only whether a cell is
started before the budget ends, never a result.
"""

from dataclasses import dataclass, field

from bench import cost, derived
from bench.data.windows import SHUFFLES
from bench.derived import CONVERGE
from bench.layers import Recurrent
from bench.profiles import STARTS_SEEDS
from bench.record import CEILING, STARTS, Cell, PlannedCell
from bench.workload import Reviews, Series, Workload

FORWARD_SHARE = 1 / 3
"""Of a training step's time, what the forward pass alone takes: backward there are two products for each one."""
LONG = ("epoch", "validate", CONVERGE, STARTS)
"""Phases that go over whole data."""


@dataclass(frozen=True)
class Assumptions:
    """What is believed of a machine before it has measured anything."""

    start_s: float = 14.0
    """Interpreter, framework, build and a cold compilation."""
    parity_s: float = 30.0
    """One parity process."""
    flops_per_core: float = 30e9
    """Operations per second that training reaches on one CPU core."""
    gpu_flops: float = 1e12
    step_overhead_s: float = 0.004
    time_step_s: float = 0.0004
    """One time step of a recurrent layer, forward and backward, on top of its operations."""
    process_bytes: int = 900_000_000
    """A framework in a process, before any data."""

    def __str__(self) -> str:
        return (
            f"assumed: {self.start_s:.0f} s to start a cell, {self.parity_s:.0f} s for a parity process, "
            f"{self.flops_per_core / 1e9:.0f} GFLOP/s a core ({self.gpu_flops / 1e12:.0f} TFLOP/s on a GPU), "
            f"{self.step_overhead_s * 1000:.0f} ms a step and "
            f"{self.time_step_s * 1000:.1f} ms a recurrent time step on top, "
            f"{self.process_bytes / 1e6:.0f} MB for a framework"
        )


def validation_steps(workload: Workload) -> int:
    """Batches of one validation pass over data of the published length."""
    data = workload.data
    if isinstance(data, Reviews):
        return -(-(data.samples - data.train_samples) // workload.batch_size)
    return (data.validation_rows - data.train_rows - 1 - data.lookback) // workload.batch_size


def test_steps(workload: Workload) -> int:
    """Batches of the test set of the published length; there are as many reviews to test with as to train with."""
    data = workload.data
    if isinstance(data, Reviews):
        return -(-data.samples // workload.batch_size)
    return (data.rows - data.delay - 1 - data.validation_rows - 1 - data.lookback) // workload.batch_size


def memory_bytes(workload: Workload | None, assumptions: Assumptions) -> int:
    """Host memory of one cell: the framework, three copies of the data (read, staged, in flight), a step's traffic."""
    if workload is None:  # square matrices of a few megabytes
        return assumptions.process_bytes
    data = workload.data
    rows, columns = (data.samples, data.time_steps) if isinstance(data, Reviews) else (data.rows, data.features)
    return assumptions.process_bytes + 3 * 4 * rows * columns + cost.training_bytes(workload)


@dataclass
class Estimator:
    """Estimates that improve with every cell added."""

    workloads: dict[str, Workload]
    cores: int
    rounds: int
    steps_per_round: int
    assumptions: Assumptions = field(default_factory=Assumptions)
    _measured: dict[tuple[str, str], list[tuple[PlannedCell, Cell]]] = field(default_factory=dict)

    def add(self, planned: PlannedCell, cell: Cell) -> None:
        """Takes a measured cell into account."""
        if cell.status == "ok":
            self._measured.setdefault((planned.workload, planned.arm), []).append((planned, cell))

    def wall_s(self, planned: PlannedCell) -> float:
        """Seconds the planned cell will take."""
        earlier = self._measured.get((planned.workload, planned.arm), [])
        same = [_wall_s(cell) for before, cell in earlier if before.phases == planned.phases]
        if same:  # the newest one, whose compile cache is as warm as this one's will be
            return same[-1]
        if earlier:
            before, cell = earlier[-1]
            return max(0.0, _wall_s(cell) + self._long_phases_s(planned, cell) - self._long_phases_s(before, cell))
        return self._assumed_s(planned) * self._correction(planned.arm)

    def _assumed_s(self, planned: PlannedCell) -> float:
        if planned.workload == CEILING:
            return self.assumptions.start_s
        workload = self.workloads[planned.workload]
        most = max(spec.devices for spec in self.workloads.values())
        cores = self.cores // most * workload.devices
        on_gpu = self.assumptions.gpu_flops * workload.devices
        rate = on_gpu if planned.device == "gpu" else self.assumptions.flops_per_core * max(1, cores)
        time_steps = sum(shape[0] for layer, shape in workload.layer_inputs() if isinstance(layer, Recurrent))
        step_s = cost.training_flops(workload) / rate + self.assumptions.step_overhead_s
        step_s += time_steps * self.assumptions.time_step_s
        seconds = self.assumptions.start_s
        if "train_step" in planned.phases:
            seconds += self.rounds * self.steps_per_round * step_s
        return seconds + self._long_phases_assumed_s(planned, step_s)

    def _long_phases_assumed_s(self, planned: PlannedCell, step_s: float) -> float:
        workload = self.workloads[planned.workload]
        forward_s = FORWARD_SHARE * step_s
        train_s, validate_s = workload.steps_per_epoch * step_s, validation_steps(workload) * forward_s
        if CONVERGE in planned.phases:
            tested_s = SHUFFLES * validate_s * isinstance(workload.data, Series) + test_steps(workload) * forward_s
            return workload.epochs * (train_s + validate_s) + tested_s
        if STARTS in planned.phases:
            return 2 * STARTS_SEEDS * workload.steps_per_epoch * forward_s
        return ("epoch" in planned.phases) * train_s + ("validate" in planned.phases) * validate_s

    def _long_phases_s(self, planned: PlannedCell, cell: Cell) -> float:
        """Seconds of the phases that go over whole data: measured in `cell`, else from its step time."""
        found = derived.phases(cell)
        long = [name for name in planned.phases if name in LONG]
        if not all(name in found for name in long):
            return self._long_phases_assumed_s(planned, self._step_s(cell))
        evaluated_s = 0.0
        if CONVERGE in long:
            evaluated_s += sum(point.validate_s for point in cell.curve)
            if cell.tested is not None:
                evaluated_s += cell.tested.seconds + len(cell.tested.shuffled) * cell.curve[-1].validate_s
        return evaluated_s + sum(sum(found[name].rounds_s) for name in long)

    def _step_s(self, cell: Cell) -> float:
        """Seconds of a training step, from what the cell has measured of it, whole or the forward pass alone."""
        step_s, epochs_s, forward_s = (derived.step_s(cell, phase) for phase in ("train_step", CONVERGE, STARTS))
        told = (step_s, epochs_s, None if forward_s is None else forward_s / FORWARD_SHARE)
        return next((seconds for seconds in told if seconds is not None), self.assumptions.step_overhead_s)

    def _correction(self, arm: str) -> float:
        """How much longer cells took here than assumed: the arm's own, else all; 1 before there are any."""
        own = [pair for (_, name), pairs in self._measured.items() for pair in pairs if name == arm]
        pairs = own or [pair for pairs in self._measured.values() for pair in pairs]
        assumed_s = sum(self._assumed_s(planned) for planned, _ in pairs)
        return sum(_wall_s(cell) for _, cell in pairs) / assumed_s if pairs else 1.0


def _wall_s(cell: Cell) -> float:
    """Of the cell, with the epochs that killed processes had trained before its own took the training up."""
    earlier = cell.curve[: cell.resumed[-1]] if cell.resumed else ()
    return cell.wall_s + sum(point.train_s + point.validate_s for point in earlier)
