"""The grid of cells: what a run measures, in which order, and about how long it takes."""

import random
from collections.abc import Sequence

import msgspec

from bench import catalogue
from bench.catalogue import unit
from bench.contest import Contest, Options
from bench.estimate import Estimator
from bench.profiles import SHORT, Profile
from bench.record import CEILING, CONTROL, STARTS, PlannedCell


def grid(entered: Contest, profile: Profile, estimator: Estimator) -> tuple[PlannedCell, ...]:
    """Every cell in the order it is measured: block by block, workload by workload; ceilings after the first block.

    Whole trainings have a block for each seed. An arm that cannot run here stands in the first block only, with no
    time estimated.
    """
    cells: list[PlannedCell] = []
    for number in range(1, (len(entered.options.seeds) if profile.converge else profile.blocks) + 1):
        for name in shuffled(entered, number):
            cells += block(entered, profile, name, number, estimator)
        if number == 1:
            cells += studies(entered, estimator) if profile.converge else ceilings(entered, estimator)
    return tuple(cells)


def shuffled(entered: Contest, number: int) -> list[str]:
    """The workloads in the order of block `number`: those that are compared with each other side by side, shuffled."""
    families: dict[str, list[str]] = {}
    for name in entered.workloads:
        families.setdefault(catalogue.family(name), []).append(name)
    for name, members in families.items():
        random.Random(f"{entered.options.seed}/{number}/{name}/order").shuffle(members)  # noqa: S311 (no secret)
    return [name for members in families.values() for name in members]


def ceilings(entered: Contest, estimator: Estimator) -> list[PlannedCell]:
    """One cell for each framework: how fast it multiplies matrices here. An arm stands for its framework."""
    of = {arm.framework: name for name, arm in reversed(list(entered.arms.items())) if name not in entered.holes}
    device = entered.options.device
    return [
        with_estimate(PlannedCell(f"{CEILING}.{arm}.{device}", CEILING, arm, device, 0, (CEILING,), 0.0), estimator)
        for arm in entered.arms
        if arm in of.values() and entered.arms[arm].ceiling
    ]


def studies(entered: Contest, estimator: Estimator) -> list[PlannedCell]:
    """One cell for each workload with the published head: from how many seeds it is dead before the first step.

    The arm is of no matter to that; one that has initial weights of its own gives the control too.
    """
    device = entered.options.device
    able = [arm for name, arm in entered.arms.items() if name not in entered.holes]  # on one device
    arm = next((arm.name for arm in sorted(able, key=lambda arm: not arm.initialisers)), None)
    return [
        with_estimate(PlannedCell(entered.cell_id(name, arm, STARTS), name, arm, device, 0, (STARTS,), 0.0), estimator)
        for name, spec in entered.workloads.items()
        if spec.head == "as_published" and spec.devices == 1 and arm is not None
    ]


def chosen(
    entered: Contest, study: PlannedCell, seeds: Sequence[int], planned: Sequence[PlannedCell], estimator: Estimator
) -> list[PlannedCell]:
    """Trainings of the seeds that a study of dead starts has singled out, as far as they are not planned yet."""
    block = max(cell.block for cell in planned)
    known = {cell.id for cell in planned}
    cells = [
        PlannedCell(
            entered.cell_id(study.workload, study.arm, f"s{seed}"),
            study.workload,
            study.arm,
            study.device,
            block + place,
            ("converge",),
            0.0,
            seed=seed,
        )
        for place, seed in enumerate(seeds, 1)
    ]
    return [with_estimate(cell, estimator) for cell in cells if cell.id not in known]


def block(entered: Contest, profile: Profile, name: str, number: int, estimator: Estimator) -> list[PlannedCell]:
    """One block of a workload: every arm once and the control once more, in an order drawn from the seed."""
    options = entered.options
    contestants = [(arm, "") for arm in entered.arms if number == 1 or entered.hole(name, arm) is None]
    if entered.control is not None and entered.hole(name, entered.control) is None and not profile.converge:
        contestants.append((entered.control, CONTROL))
    random.Random(f"{options.seed}/{number}/{name}").shuffle(contestants)  # noqa: S311 (an order, not a secret)
    seed = options.seeds[number - 1] if profile.converge else None
    mark = f"b{number:02d}" if seed is None else f"s{seed}"
    cells = []
    for arm, label in contestants:
        cell_id = entered.cell_id(name, arm, mark, label)
        phases = SHORT if label else profile.phases(number)  # the control is one of step times
        cell = PlannedCell(cell_id, name, arm, options.device, number, phases, 0.0, label, seed)
        cells.append(with_estimate(cell, estimator) if entered.can(cell) else cell)
    return cells


def fit(
    cells: Sequence[PlannedCell], budget_s: float | None, parity_s: float, estimator: Estimator
) -> tuple[tuple[PlannedCell, ...], str | None]:
    """Leaves epoch and validate out where block 1 with them would leave no room for block 2; says so in words.

    A workload keeps them for all of its arms or for none; the one they cost most in loses them first.
    """
    if budget_s is None:
        return tuple(cells), None
    kept, left_out, proved = tuple(cells), list[str](), "parity, " if parity_s else ""
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
        f"epoch and validate are left out of {', '.join(sorted(left_out))}: {proved}block 1 with them and the step "
        f"times of block 2 are estimated at {with_epochs_s:.0f} s, the budget is {budget_s:.0f} s; a larger --budget "
        "measures them"
    )


def too_short(cells: Sequence[PlannedCell], budget_s: float | None, parity_s: float) -> str | None:
    """Says in words when by estimate some workload gets no second block; None when all get one."""
    families = dict.fromkeys(unit(cell) for cell in cells if cell.block == 2)
    if budget_s is None or not families:
        return None
    needed_s = parity_s + sum(cell.estimate_s for cell in cells if cell.block <= 1)
    single: list[str] = []
    for which in families:
        members = [cell for cell in cells if unit(cell) == which]
        needed_s += sum(cell.estimate_s for cell in members)
        if needed_s > budget_s:
            single += dict.fromkeys(cell.workload for cell in members)
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
        block = [cell for cell in kept if unit(cell) == unit(head)]
        begun = sum(unit(cell) == unit(head) for cell in planned) > len(block)
        if head.block <= 1 or begun or sum(map(estimator.wall_s, block)) <= left_s:
            break
        kept = [cell for cell in kept if cell not in block]
    return kept


def with_estimate(cell: PlannedCell, estimator: Estimator) -> PlannedCell:
    """The same cell with its estimate brought up to date."""
    return msgspec.structs.replace(cell, estimate_s=round(estimator.wall_s(cell), 1))


def parity_total_s(entered: Contest, parallel: int, parity_s: float) -> float:
    """Estimated time of all parity processes, `parallel` of them at a time."""
    pairs = sum(entered.hole(name, arm) is None for name in entered.workloads for arm in entered.arms)
    return -(-pairs // parallel) * parity_s


def budget_s(options: Options, profile: Profile) -> float | None:
    """The budget named by the user, else the profile's; None: as long as it takes."""
    return profile.budget_s if options.budget_s is None else options.budget_s
