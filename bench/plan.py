"""The grid of cells: what a run measures, in which order, and about how long it takes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import implementation, workload
from bench.data import Kind
from bench.effects import MARGIN
from bench.errors import UsageError
from bench.estimate import Estimator
from bench.implementation import Device
from bench.layers import Gate
from bench.profiles import SHORT, Profile
from bench.record import CEILING, CONTROL, PlannedCell
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
    margin: float = MARGIN
    control: str | None = None
    """The arm to enter twice; None: the first one that can run."""
    command: tuple[str, ...] = ("bench", "run")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"--seed {self.seed}: expected a whole number from 0 to {SEEDS - 1}")
        if not 0 < self.margin < 1:
            raise UsageError(f"--margin {self.margin * 100:g}%: expected more than 0% and less than 100%")
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

    def cell_id(self, name: str, arm: str, mark: str, label: str = "") -> str:
        """Id of a cell; `mark` is its block or seed."""
        settings = self.options.settings(self.specs[name])
        return ".".join((name, arm, self.options.device, mark, *settings, *filter(None, [label])))

    @property
    def control(self) -> str | None:
        """The arm entered twice: the code that compares arms shows what it finds where there is nothing to find."""
        running = [arm for arm in self.arms if arm not in self.holes]
        if self.options.control in running:
            return self.options.control
        return next((arm for arm in running if not self.arms[arm].needs_compiler), next(iter(running), None))


def contest(options: Options, holes: Mapping[str, str] | None = None) -> Contest:
    """Resolves names; a UsageError names the unknown ones. The default arms are all of the stock tier."""
    specs = {name: workload.load(name) for name in options.workloads or workload.names()}
    stock = tuple(name for name, arm in implementation.arms().items() if arm.tier == "stock")
    arms = {name: implementation.arm(name) for name in options.arms or stock}
    if not arms:
        raise UsageError("no arm found: no impl_* package with a stock arm is on the import path; install bench whole")
    if options.control is not None and options.control not in arms:
        raise UsageError(f"--control {options.control}: not an arm of this run; its arms are {', '.join(arms)}")
    changed = {name: spec.with_settings(head=options.head, gate=options.gate) for name, spec in specs.items()}
    return Contest(options, specs, changed, arms, dict(holes or {}))


def grid(entered: Contest, profile: Profile, estimator: Estimator) -> tuple[PlannedCell, ...]:
    """Every cell in the order it is measured: block by block, workload by workload; ceilings after the first block.

    An arm that cannot run here stands in the first block only, with no time estimated.
    """
    cells: list[PlannedCell] = []
    for number in range(1, profile.blocks + 1):
        for name in entered.workloads:
            cells += block(entered, profile, name, number, estimator)
        if number == 1 and not profile.converge:
            cells += ceilings(entered, estimator)
    return tuple(cells)


def ceilings(entered: Contest, estimator: Estimator) -> list[PlannedCell]:
    """One cell for each framework: how fast it multiplies matrices here. An arm stands for its framework."""
    of = {arm.framework: name for name, arm in reversed(list(entered.arms.items())) if name not in entered.holes}
    device = entered.options.device
    return [
        with_estimate(PlannedCell(f"{CEILING}.{arm}.{device}", CEILING, arm, device, 0, (CEILING,), 0.0), estimator)
        for arm in entered.arms
        if arm in of.values() and entered.arms[arm].ceiling
    ]


def block(entered: Contest, profile: Profile, name: str, number: int, estimator: Estimator) -> list[PlannedCell]:
    """One block of a workload: every arm once and the control once more, in an order drawn from the seed."""
    options = entered.options
    contestants = [(arm, "") for arm in entered.arms if number == 1 or arm not in entered.holes]
    if entered.control is not None and not profile.converge:
        contestants.append((entered.control, CONTROL))
    random.Random(f"{options.seed}/{number}/{name}").shuffle(contestants)  # noqa: S311 (an order, not a secret)
    mark = f"s{options.seed}" if profile.converge else f"b{number:02d}"
    cells = []
    for arm, label in contestants:
        cell_id = entered.cell_id(name, arm, mark, label)
        phases = SHORT if label else profile.phases(number)  # the control is one of step times
        cell = PlannedCell(cell_id, name, arm, options.device, number, phases, 0.0, label)
        cells.append(cell if arm in entered.holes else with_estimate(cell, estimator))
    return cells


def fit(
    cells: Sequence[PlannedCell], budget_s: float | None, parity_s: float, estimator: Estimator
) -> tuple[tuple[PlannedCell, ...], str | None]:
    """Leaves epoch and validate out where block 1 with them would leave no room for block 2; says so in words.

    A workload keeps them for all of its arms or for none; the one they cost most in loses them first.
    """
    if budget_s is None:
        return tuple(cells), None
    kept, left_out = tuple(cells), list[str]()
    # Without the step times of a second block there is no interval: they come before epochs.
    second = [shortened(cell, estimator) for cell in cells if cell.block == 2]
    parity_s += sum(cell.estimate_s for cell in second)
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
        f"epoch and validate are left out of {', '.join(sorted(left_out))}: parity, block 1 with them and the step "
        f"times of block 2 are estimated at {with_epochs_s:.0f} s, the budget is {budget_s:.0f} s; a larger --budget "
        "measures them"
    )


def too_short(cells: Sequence[PlannedCell], budget_s: float | None, parity_s: float) -> str | None:
    """Says in words when by estimate some workload gets no second block; None when all get one."""
    names = dict.fromkeys(cell.workload for cell in cells if cell.block == 2)
    if budget_s is None or not names:
        return None
    needed_s = parity_s + sum(cell.estimate_s for cell in cells if cell.block <= 1)
    single = []
    for name in names:
        needed_s += sum(cell.estimate_s for cell in cells if (cell.block, cell.workload) == (2, name))
        if needed_s > budget_s:
            single.append(name)
    if not single:
        return None
    return (
        f"by estimate the budget of {budget_s:.0f} s holds no second block of {', '.join(single)}: with one block "
        f"there is no interval and no verdict; all need {needed_s:.0f} s, or name fewer workloads or arms"
    )


def _first_block_s(cells: Sequence[PlannedCell], name: str | None = None) -> float:
    return sum(cell.estimate_s for cell in cells if cell.block <= 1 and name in (None, cell.workload))


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
        if head.block <= 1 or begun or sum(map(estimator.wall_s, block)) <= left_s:
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
