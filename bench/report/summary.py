"""From rounds to figures: what each arm did on one workload and device, by the definitions of `bench.stats`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from bench import record, stats
from bench.report.folder import Folder
from bench.stats import Spread

Floats: TypeAlias = "Sequence[float] | pd.Series[float]"


@dataclass(frozen=True)
class ArmSummary:
    """Figures of one arm from its cells with status ok; None where nothing was measured."""

    arm: str
    step_s: Spread | None
    step_percentiles_s: tuple[float, float, float] | None
    """p50, p90, p99 over the counted rounds of all blocks."""
    round_steps: int | None
    """Steps in one round of `train_step`."""
    throughput: Spread | None
    """Samples per second while stepping."""
    epoch_s: Spread | None
    epoch_steps: int | None
    validate_s: Spread | None
    first_step_cold_s: float | None
    """Block 1: compile caches empty."""
    first_step_warm_s: Spread | None
    """Later blocks: compile caches kept."""
    peak_memory_bytes: int | None
    device_peak_memory_bytes: int | None
    epochs: int | None
    """Epochs behind `validation`."""
    validation: dict[str, Spread]
    """Metric → value after the last epoch."""
    aside: tuple[str, float, float] | None
    """What was timed beside the arm's own steps, its median step time and the arm's in the same process (s)."""
    unmeasured: str | None
    """Why there is no step time: one line; None when there is one."""

    @property
    def loop_cost(self) -> float | None:
        """Epoch time over (steps x step time): what the high-level loop costs, 1 when it costs nothing."""
        if self.epoch_s is None or self.step_s is None or self.epoch_steps is None:
            return None
        return self.epoch_s.median / (self.epoch_steps * self.step_s.median)


@dataclass(frozen=True)
class Contest:
    """Everything measured on one workload and device. `rounds` and `points` are rows of the run's CSV files."""

    workload: str
    device: str
    spec: record.Workload
    arms: tuple[ArmSummary, ...]
    rounds: pd.DataFrame
    """Status ok only, warm-up rounds included."""
    points: pd.DataFrame
    """Learning curves of cells with status ok."""

    @property
    def ranked(self) -> list[ArmSummary]:
        """Arms with a step time, fastest first."""
        return sorted((arm for arm in self.arms if arm.step_s), key=lambda arm: arm.step_s.median if arm.step_s else 0)

    @property
    def epoch_phase(self) -> str:
        """Where epoch times come from."""
        return _epoch_phase(self.rounds)

    @property
    def cut_epoch_steps(self) -> int | None:
        """Steps of the shortest measured epoch where that is less than the workload's; None otherwise."""
        steps = [arm.epoch_steps for arm in self.arms if arm.epoch_steps]
        return min(steps) if steps and min(steps) < self.spec.steps_per_epoch else None

    @property
    def has_curves(self) -> bool:
        return not self.points.empty

    @property
    def epochs(self) -> int:
        """Last epoch of the longest curve; 0 for none."""
        return int(self.points["epoch"].max()) if self.has_curves else 0


def contests(folder: Folder, measurements: pd.DataFrame, curves: pd.DataFrame) -> list[Contest]:
    """One summary per workload and device of the run, arms in the run's order."""
    found = []
    for workload, device in folder.contests():
        rows = measurements[(measurements["workload"] == workload) & (measurements["device"] == device)]
        points = curves[(curves["workload"] == workload) & (curves["device"] == device) & (curves["status"] == "ok")]
        rounds = rows[(rows["status"] == "ok") & rows["round"].notna()]
        arms = tuple(_summarise(folder, arm, device, rows, rounds, points) for arm in folder.run.arms)
        found.append(Contest(workload, device, folder.run.workloads[workload], arms, rounds, points))
    return found


def by_block(rounds: pd.DataFrame, arm: str, phase: str, column: str = "step_time_s") -> dict[int, list[float]]:
    """Counted rounds of one arm and phase by block, in the unit of `column`."""
    kept = rounds[(rounds["arm"] == arm) & (rounds["phase"] == phase) & (rounds["warmup"] == 0)]
    return {block: list(kept[kept["block"] == block][column]) for block in block_numbers(kept)}


def block_numbers(rounds: pd.DataFrame) -> list[int]:
    """Numbers of the blocks in `rounds`, in order."""
    return sorted(int(block) for block in rounds["block"].unique())


def _summarise(
    folder: Folder, arm: str, device: str, rows: pd.DataFrame, rounds: pd.DataFrame, points: pd.DataFrame
) -> ArmSummary:
    mine, own = rounds[rounds["arm"] == arm], points[points["arm"] == arm]
    ids = set(mine["cell"])
    cells = [cell for cell in folder.cells if cell.id in ids and cell.device == device]
    steps = by_block(mine, arm, "train_step")
    counted = [value for values in steps.values() for value in values]
    first = by_block(mine, arm, "first_step", "seconds")
    last = int(own["epoch"].max()) if len(own) else None
    final = own[(own["epoch"] == last) & (own["split"] == "validation")]
    return ArmSummary(
        arm=arm,
        step_s=stats.over_blocks(steps),
        step_percentiles_s=_percentiles(counted),
        round_steps=_steps(mine, "train_step"),
        throughput=stats.over_blocks(by_block(mine, arm, "train_step", "throughput_samples_per_s")),
        epoch_s=stats.over_blocks(by_block(mine, arm, _epoch_phase(rounds), "seconds")),
        epoch_steps=_steps(mine, _epoch_phase(rounds)),
        validate_s=stats.over_blocks(by_block(mine, arm, "validate", "seconds") or _validations(own)),
        first_step_cold_s=stats.median(first[1]) if 1 in first else None,
        first_step_warm_s=stats.over_blocks({block: values for block, values in first.items() if block > 1}),
        peak_memory_bytes=max((cell.peak_memory_bytes for cell in cells if cell.peak_memory_bytes), default=None),
        device_peak_memory_bytes=max(
            (cell.device_peak_memory_bytes for cell in cells if cell.device_peak_memory_bytes), default=None
        ),
        epochs=last,
        validation={
            str(metric): found
            for metric, group in final.groupby("metric", sort=False)
            if (found := stats.spread(group["value"]))
        },
        aside=next((beside for cell in cells if (beside := _aside(cell))), None),
        unmeasured=None if counted else _why(folder, arm, rows[rows["arm"] == arm]),
    )


def _aside(cell: record.Cell) -> tuple[str, float, float] | None:
    """Of a cell with an aside: what it is, its median step time and that of the cell's own steps."""
    found = record.phases(cell)
    aside, own = found.get("aside"), found.get("train_step")
    if aside is None or own is None:
        return None
    aside_s, own_s = (stats.median(phase.counted_s) / phase.steps_per_round for phase in (aside, own))
    return aside.about or "another training step", aside_s, own_s


def _epoch_phase(rounds: pd.DataFrame) -> str:
    """`epoch`, or `converge` (whose rounds are epochs) where a run has no other."""
    return "epoch" if "epoch" in set(rounds["phase"]) else "converge"


def _validations(points: pd.DataFrame) -> dict[int, list[float]]:
    """Seconds of every validation on the learning curve, by block."""
    once = points.drop_duplicates(["cell", "epoch"])
    return {block: list(once[once["block"] == block]["validate_s"]) for block in block_numbers(once)}


def _percentiles(values: list[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    return stats.percentile(values, 50), stats.percentile(values, 90), stats.percentile(values, 99)


def _steps(rounds: pd.DataFrame, phase: str) -> int | None:
    steps = rounds[rounds["phase"] == phase]["steps"]
    return int(steps.min()) if len(steps) else None


def _why(folder: Folder, arm: str, rows: pd.DataFrame) -> str:
    """Why an arm has no step time: its hole, else its first failure, hole, unreadable or missing cell."""
    hole = folder.run.arms[arm].hole
    if hole:
        return f"hole: {hole}"
    for status in ("failed", "unreadable", "hole", "missing"):
        reasons = rows[rows["status"] == status]["reason"]
        if len(reasons):
            return f"{status}: {reasons.iloc[0]}"
    return "not planned" if rows.empty else "no step time in its cells"
