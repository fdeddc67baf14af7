"""The grid of cells: what a run measures, in which order, and about how long it takes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import implementation, workload
from bench.data import Kind
from bench.errors import UsageError
from bench.estimate import Estimator
from bench.implementation import Device
from bench.layers import Gate
from bench.profiles import SHORT, Profile
from bench.record import PlannedCell
from bench.workload import Head, Workload

SEEDS = 2**32


@dataclass(frozen=True)
class Options:
    """What the user asked for; empty workloads and arms stand for the defaults."""

    workloads: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    device: Device = "cpu"
    profile: str = "quick"
    data: Kind = "auto"
    data_dir: Path | None = None
    seed: int = 0
    budget_s: float | None = None
    out: Path = Path("results")
    head: Head | None = None
    gate: Gate | None = None
    command: tuple[str, ...] = ("bench", "run")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed {self.seed}: expected a whole number from 0 to {SEEDS - 1}")
        for option, names in (("--workload", self.workloads), ("--arm", self.arms)):
            for name in names:
                if names.count(name) > 1:
                    raise UsageError(f"{option} {name}: named twice; name it once")

    def settings(self, spec: Workload) -> tuple[str, ...]:
        """What differs from the spec, as it stands in a cell's id."""
        head = (f"head-{self.head}",) if self.head is not None and self.head != spec.head else ()
        changed = spec.with_settings(gate=self.gate) if self.gate is not None else spec
        return head + ((f"gate-{self.gate}",) if changed != spec else ())


@dataclass(frozen=True)
class Contest:
    """The workloads and arms of a run, resolved; `holes` says which arms cannot run here, and why."""

    options: Options
    specs: Mapping[str, Workload]
    """As published, by name."""
    workloads: Mapping[str, Workload]
    """The same with the run's settings."""
    arms: Mapping[str, implementation.Arm]
    holes: Mapping[str, str]

    def parity_id(self, name: str, arm: str) -> str:
        """Id of the parity record of workload `name` and `arm`."""
        return ".".join((name, arm, self.options.device, *self.options.settings(self.specs[name])))

    def cell_id(self, name: str, arm: str, mark: str) -> str:
        """Id of a cell; `mark` is its block or seed."""
        return ".".join((name, arm, self.options.device, mark, *self.options.settings(self.specs[name])))


def contest(options: Options, holes: Mapping[str, str] | None = None) -> Contest:
    """Resolves names; a UsageError names the unknown ones. The default arms are all of the stock tier."""
    specs = {name: workload.load(name) for name in options.workloads or workload.names()}
    stock = tuple(name for name, arm in implementation.arms().items() if arm.tier == "stock")
    arms = {name: implementation.arm(name) for name in options.arms or stock}
    if not arms:
        raise UsageError("no arm found: no impl_* package with a stock arm is on the import path; install bench whole")
    changed = {name: spec.with_settings(head=options.head, gate=options.gate) for name, spec in specs.items()}
    return Contest(options, specs, changed, arms, dict(holes or {}))


def grid(entered: Contest, profile: Profile, estimator: Estimator) -> tuple[PlannedCell, ...]:
    """Every cell in the order it is measured: block by block, the arms of a workload in an order drawn from the seed.

    An arm that cannot run here stands in the first block only, with no time estimated.
    """
    options = entered.options
    cells = []
    for block in range(1, profile.blocks + 1):
        mark = f"s{options.seed}" if profile.converge else f"b{block:02d}"
        for name in entered.workloads:
            order = [arm for arm in entered.arms if block == 1 or arm not in entered.holes]
            random.Random(f"{options.seed}/{block}/{name}").shuffle(order)  # noqa: S311 (an order, not a secret)
            for arm in order:
                cell_id = entered.cell_id(name, arm, mark)
                cell = PlannedCell(cell_id, name, arm, options.device, block, profile.phases(block), 0.0)
                cells.append(cell if arm in entered.holes else with_estimate(cell, estimator))
    return tuple(cells)


def fit(
    cells: Sequence[PlannedCell], budget_s: float | None, parity_s: float, estimator: Estimator
) -> tuple[tuple[PlannedCell, ...], str | None]:
    """Leaves epoch and validate out where block 1 with them would fill the budget; says so in words.

    A workload keeps them for all of its arms or for none; the one they cost most in loses them first.
    """
    if budget_s is None:
        return tuple(cells), None
    kept, left_out = tuple(cells), list[str]()
    with_epochs_s = needed_s = parity_s + _first_block_s(kept)
    while needed_s > budget_s:
        dearest = max(
            sorted({cell.workload for cell in kept if "epoch" in cell.phases}),
            key=lambda name: _first_block_s(cells, name) - _first_block_s(_shortened(cells, name, estimator), name),
            default=None,
        )
        if dearest is None:
            break
        left_out.append(dearest)
        kept = _shortened(kept, dearest, estimator)
        needed_s = parity_s + _first_block_s(kept)
    if not left_out:
        return kept, None
    return kept, (
        f"epoch and validate are left out of {', '.join(sorted(left_out))}: block 1 with them and parity is estimated "
        f"at {with_epochs_s:.0f} s, the budget is {budget_s:.0f} s; a larger --budget measures them"
    )


def _first_block_s(cells: Sequence[PlannedCell], name: str | None = None) -> float:
    return sum(cell.estimate_s for cell in cells if cell.block == 1 and name in (None, cell.workload))


def _shortened(cells: Sequence[PlannedCell], name: str, estimator: Estimator) -> tuple[PlannedCell, ...]:
    return tuple(shortened(cell, estimator) if cell.workload == name else cell for cell in cells)


def shortened(cell: PlannedCell, estimator: Estimator) -> PlannedCell:
    """The same cell without the phases that go over the whole data."""
    if "epoch" not in cell.phases:
        return cell
    short = msgspec.structs.replace(cell, phases=SHORT)
    return with_estimate(short, estimator) if cell.estimate_s else short


def affordable(
    waiting: Sequence[PlannedCell], planned: Sequence[PlannedCell], left_s: float | None, estimator: Estimator
) -> list[PlannedCell]:
    """`waiting` without the blocks at its head that `left_s` cannot hold whole: half a block pairs nothing.

    A workload's part of block 1 is always tried, and one that is begun goes on.
    """
    kept = list(waiting)
    while kept and left_s is not None:
        head = kept[0]
        block = [cell for cell in kept if (cell.block, cell.workload) == (head.block, head.workload)]
        begun = sum((cell.block, cell.workload) == (head.block, head.workload) for cell in planned) > len(block)
        if head.block == 1 or begun or sum(map(estimator.wall_s, block)) <= left_s:
            break
        kept = [cell for cell in kept if cell not in block]
    return kept


def with_estimate(cell: PlannedCell, estimator: Estimator) -> PlannedCell:
    """The same cell with its estimate brought up to date."""
    return msgspec.structs.replace(cell, estimate_s=round(estimator.wall_s(cell), 1))


def parity_total_s(entered: Contest, parallel: int, parity_s: float) -> float:
    """Estimated time of all parity processes, `parallel` of them at a time."""
    pairs = len(entered.workloads) * sum(arm not in entered.holes for arm in entered.arms)
    return -(-pairs // parallel) * parity_s


def budget_s(options: Options, profile: Profile) -> float | None:
    """The budget named by the user, else the profile's; None: as long as it takes."""
    return profile.budget_s if options.budget_s is None else options.budget_s
