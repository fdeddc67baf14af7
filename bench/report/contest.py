"""What a report says of one workload on one device: its arms' figures, and the rounds they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import pandas as pd

from bench import record, stats
from bench.ranking import ranked
from bench.record import tuned
from bench.stats import Spread

Floats: TypeAlias = "Sequence[float] | pd.Series[float]"


@dataclass(frozen=True)
class ArmSummary:
    """Figures of one contestant from its cells with status ok; None where nothing was measured."""

    arm: str
    label: str
    step_s: Spread | None
    step_percentiles_s: tuple[float, float, float] | None
    """p50, p90, p99 over the counted rounds of all blocks."""
    round_steps: int | None
    """Steps in one round of `train_step`."""
    throughput: Spread | None
    """Samples per second while stepping."""
    warmup_rounds: tuple[int, int] | None
    """Of `train_step`: fewest and most of any block."""
    unsettled: tuple[int, ...]
    """Blocks whose step times still shifted after the warm-up."""
    epoch_s: Spread | None
    epoch_steps: int | None
    validate_s: Spread | None
    first_step_cold_s: float | None
    """Block 1: compile caches empty."""
    first_step_warm_s: Spread | None
    """Later blocks: compile caches kept."""
    first_result_cold_s: float | None
    """From the start of the process to the first update done; block 1."""
    first_result_warm_s: Spread | None
    epochs: int | None
    """Epochs behind `validation`."""
    validation: dict[str, Spread]
    """Metric → value after the last epoch."""
    aside: tuple[str, float, float] | None
    """What was timed beside the arm's own steps, its median step time and the arm's in the same process (s)."""
    unmeasured: str | None
    """Why there is no step time: one line; None when there is one."""

    @property
    def contestant(self) -> str:
        """Name of the arm, with its label."""
        return record.contestant(self.arm, self.label)


@dataclass(frozen=True)
class Contest:
    """Everything measured on one workload and device. `rounds` and `points` are rows of the run's CSV files."""

    workload: str
    device: str
    run: record.Run
    spec: record.Workload
    arms: tuple[ArmSummary, ...]
    """In the run's order, each once: the second entry of the A/A control is none."""
    control: ArmSummary | None
    """The second entry of the run's A/A control, where something was measured of it."""
    given_up: tuple[str, ...]
    """Arms that were not tried any more: they failed parity, or their last cells failed."""
    cells: tuple[record.Cell, ...]
    """Status ok only, those of the control included."""
    ceilings: tuple[record.Cell, ...]
    """Status ok only, of this device."""
    rounds: pd.DataFrame
    """Status ok only, warm-up rounds included, with a column `contestant`."""
    points: pd.DataFrame
    """Learning curves of cells with status ok, with a column `contestant`."""
    judged: tuple[str, ...] = ()
    """What is judged of its whole trainings, sentences of Markdown; empty where none are."""

    @property
    def stepped(self) -> bool:
        """Whether step times were to be measured."""
        mine = [cell for cell in self.run.plan if (cell.workload, cell.device) == (self.workload, self.device)]
        return not mine or any("train_step" in cell.phases for cell in mine)

    @cached_property
    def ranked(self) -> list[ArmSummary]:
        """Arms with a step time, fastest first as `bench.ranking` has it, tuned ones behind the others."""
        return self._ranked("train_step", [arm for arm in self.arms if arm.step_s])

    @cached_property
    def trained(self) -> list[ArmSummary]:
        """Arms with an epoch time, in the same order."""
        return self._ranked(self.epoch_phase, [arm for arm in self.arms if arm.epoch_s])

    @property
    def has_beside(self) -> bool:
        """Whether tuned arms stand beside others: what is fastest is then so among the others."""
        names = {arm.arm for arm in (*self.ranked, *self.trained)}
        return bool(names & tuned(self.run)) and bool(names - tuned(self.run))

    def _ranked(self, phase: str, arms: Sequence[ArmSummary]) -> list[ArmSummary]:
        by_name, figures = {arm.contestant: arm for arm in arms}, self.figures(phase)
        return [by_name[name] for name in ranked({name: figures[name] for name in by_name}, tuned(self.run))]

    @cached_property
    def epoch_phase(self) -> str:
        """Where epoch times come from."""
        return epoch_phase(self.rounds)

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

    def cells_of(self, arm: str, label: str = "") -> list[record.Cell]:
        """The cells of one contestant, in the order of their blocks."""
        return [cell for cell in self.cells if (cell.arm, cell.label) == (arm, label)]

    def figures(self, phase: str) -> Mapping[str, Mapping[int, float]]:
        """Step time of every contestant in every block: the median of its counted rounds."""
        return self._figures.get(phase, {})

    @cached_property
    def _figures(self) -> dict[str, dict[str, dict[int, float]]]:
        """Of every phase, since the tables of a report ask for them dozens of times."""
        kept = self.rounds[self.rounds["counted"] == 1]
        found: dict[str, dict[str, dict[int, list[float]]]] = {}
        columns = ("phase", "contestant", "block", "step_time_s")
        for phase, name, block, step_s in zip(*(kept[column].tolist() for column in columns), strict=True):
            found.setdefault(phase, {}).setdefault(name, {}).setdefault(block, []).append(step_s)
        return {
            phase: {
                name: {block: stats.median(values) for block, values in blocks.items()}
                for name, blocks in names.items()
            }
            for phase, names in found.items()
        }


def by_block(rounds: pd.DataFrame, contestant: str, phase: str, column: str = "step_time_s") -> dict[int, list[float]]:
    """Counted rounds of one contestant and phase by block, in the unit of `column`."""
    kept = (rounds["contestant"] == contestant) & (rounds["phase"] == phase) & (rounds["counted"] == 1)
    found: dict[int, list[float]] = {}
    for block, value in zip(rounds["block"][kept].tolist(), rounds[column][kept].tolist(), strict=True):
        found.setdefault(block, []).append(value)
    return dict(sorted(found.items()))


def block_numbers(rounds: pd.DataFrame) -> list[int]:
    """Numbers of the blocks in `rounds`, in order."""
    return sorted(int(block) for block in rounds["block"].unique())


def epoch_phase(rounds: pd.DataFrame) -> str:
    """`epoch`, or `converge` (whose rounds are epochs) where a run has no other."""
    return "epoch" if (rounds["phase"] == "epoch").any() else "converge"
