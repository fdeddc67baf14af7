"""What a run is asked for: options as the user gave them, resolved into workloads with their settings and into arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import catalogue, implementation
from bench.data import Kind
from bench.effects import MARGIN
from bench.errors import UsageError
from bench.implementation import Device
from bench.layers import Gate
from bench.profiles import Profile
from bench.record import PlannedCell, Run
from bench.workload import Head, Precision, Workload

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
    seeds: tuple[int, ...] = (0,)
    """Several are for whole trainings only."""
    budget_s: float | None = None
    out: Path = Path("results")
    head: Head | None = None
    gate: Gate | None = None
    precision: Precision | None = None
    sweeps: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Settings of every workload, by name, with the values it is measured at; empty: as specified."""
    devices: tuple[int, ...] = ()
    """Every workload is trained on so many, data-parallel; empty: as specified, on one."""
    margin: float = MARGIN
    control: str | None = None
    """The arm to enter twice; None: the first one that can run."""
    command: tuple[str, ...] = ("bench", "run")

    def __post_init__(self) -> None:
        for seed in self.seeds:
            if not 0 <= seed < SEEDS:
                raise UsageError(f"--seed {seed}: expected a whole number from 0 to {SEEDS - 1}")
        if not 0 < self.margin < 1:
            raise UsageError(f"--margin {self.margin * 100:g}%: expected more than 0% and less than 100%")
        named = (
            ("--workload", self.workloads),
            ("--arm", self.arms),
            ("--seed", tuple(map(str, self.seeds))),
            ("--sweep", tuple(what for what, _ in self.sweeps)),
            ("--devices", tuple(map(str, self.devices))),
        )
        for option, names in named:
            for name in names:
                if names.count(name) > 1:
                    raise UsageError(f"{option} {name}: named twice; name it once")
        if self.devices and 1 not in self.devices:
            raise UsageError(f"--devices {','.join(map(str, self.devices))}: speedups are over one device; add 1")
        if self.devices and self.sweeps:
            raise UsageError("--devices and --sweep: one run has room for one of them; make two runs")

    @property
    def seed(self) -> int:
        """The first one."""
        return self.seeds[0]


@dataclass(frozen=True)
class Part:
    """What of a stored run is to be measured now: planned cells of these workloads, arms and seeds; empty: of all."""

    workloads: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def __contains__(self, cell: PlannedCell) -> bool:
        return all(
            not wanted or value in wanted
            for wanted, value in (
                (self.workloads, cell.workload),
                (self.arms, cell.arm),
                (self.seeds, cell.seed),
            )
        )

    def check(self, run: Run) -> None:
        """Raises a UsageError unless the run has planned what is named."""
        for option, named, known in (
            ("--workload", self.workloads, {cell.workload for cell in run.plan}),
            ("--arm", self.arms, {cell.arm for cell in run.plan}),
            ("--seed", self.seeds, {cell.seed for cell in run.plan if cell.seed is not None}),
        ):
            for name in named:
                if name not in known:
                    every = ", ".join(sorted(map(str, known))) or "none: it trains no whole schedules"
                    raise UsageError(f"{option} {name}: not planned in run {run.id}; planned are {every}")


@dataclass(frozen=True)
class Contest:
    """The workloads and arms of a run, resolved; `holes` says which arms cannot run here at all, and why."""

    options: Options
    workloads: Mapping[str, Workload]
    """By key: name and settings."""
    arms: Mapping[str, implementation.Arm]
    holes: Mapping[str, str]

    def hole(self, name: str, arm: str) -> str | None:
        """Why `arm` cannot be measured on the workload of key `name`; None: it can. A ceiling is no workload."""
        if (reason := self.holes.get(arm)) is not None:
            return reason
        several = name in self.workloads and self.workloads[name].devices > 1
        return self.arms[arm].single if several and not self.arms[arm].engine else None

    def can(self, cell: PlannedCell) -> bool:
        """Whether the cell can be measured here."""
        return self.hole(cell.workload, cell.arm) is None

    @property
    def most_devices(self) -> int:
        """That any of its workloads is trained on."""
        return max((spec.devices for spec in self.workloads.values()), default=1)

    def parity_id(self, name: str, arm: str) -> str:
        """Id of the parity record of the workload of key `name` and `arm`."""
        return ".".join(_with_settings(name, arm, self.options.device))

    def cell_id(self, name: str, arm: str, mark: str, label: str = "") -> str:
        """Id of a cell; `mark` is its block or seed."""
        return ".".join([*_with_settings(name, arm, self.options.device, mark), *filter(None, [label])])

    @property
    def control(self) -> str | None:
        """The arm entered twice: the code that compares arms shows what it finds where there is nothing to find."""
        able = [arm for arm in self.arms if arm not in self.holes]
        on_all = [arm for arm in able if all(self.hole(name, arm) is None for name in self.workloads)]
        running = on_all or able
        if self.options.control in running:
            return self.options.control
        return next((arm for arm in running if not self.arms[arm].needs_compiler), next(iter(running), None))


def _with_settings(key: str, *parts: str) -> list[str]:
    """The parts of an id: a workload's name, these, and its settings."""
    name, *settings = key.split(".")
    return [name, *parts, *settings]


def contest(options: Options, profile: Profile, holes: Mapping[str, str] | None = None) -> Contest:
    """Resolves names; a UsageError names the unknown ones.

    The default arms are all of the stock tier, the default workloads the published ones. Whole trainings have the
    comparators too, both heads of a classifier that was published with another one, and the published data path.
    """
    tiers = ("stock", "published") if profile.converge else ("stock",)
    chosen = tuple(name for name, arm in implementation.arms(options.device).items() if arm.tier in tiers)
    arms = {name: implementation.arm(name, options.device) for name in options.arms or chosen}
    if not arms:
        raise UsageError("no arm found: no impl_* package with a stock arm is on the import path; install bench whole")
    if options.control is not None and options.control not in arms:
        raise UsageError(f"--control {options.control}: not an arm of this run; its arms are {', '.join(arms)}")
    if len(options.seeds) > 1 and not profile.converge:
        raise UsageError(
            f"--seed {options.seeds[1]}: a second seed is for whole trainings, and profile {profile.name} has none; "
            "name one seed, or --profile book"
        )
    specs = map(catalogue.load, options.workloads) if options.workloads else _default_workloads(options, profile)
    settings: dict[str, Any] = {"head": options.head, "gate": options.gate, "precision": options.precision}
    changed = [spec.with_settings(**settings) for spec in specs]
    for spec in changed:
        _check_precision(spec.precision, options.device, arms)
    keys = [catalogue.key(spec) for spec in changed]
    for name, key in zip(options.workloads, keys, strict=False):
        if keys.count(key) > 1 and name != key:
            raise UsageError(f"--workload {name}: is {key}, named twice; name it once")
    for what, values in options.sweeps:
        swept: list[dict[str, Any]] = [{what: value} for value in values]
        changed += [spec.with_settings(**setting) for spec in changed[: len(keys)] for setting in swept]
    if options.devices:
        changed = [
            spec.with_settings(**setting)
            for spec in changed
            for setting in _on_devices(spec, options.devices, weak=not profile.converge)
        ]
    if options.sweeps:
        changed = changed[len(keys) :]  # those as specified are among them where they are among the values
    return Contest(options, {catalogue.key(spec): spec for spec in changed}, arms, dict(holes or {}))


def _on_devices(spec: Workload, counts: Sequence[int], *, weak: bool) -> list[dict[str, Any]]:
    """Settings: each batch shared out among so many devices; with `weak`, also a whole batch for each of them.

    A training is not the same with larger batches: whole ones share them out only.
    """
    settings: list[dict[str, Any]] = [{"devices": count} for count in counts]
    return settings + [{"devices": count, "batch": count * spec.batch_size} for count in counts if weak and count > 1]


def _check_precision(precision: Precision, device: Device, arms: Mapping[str, implementation.Arm]) -> None:
    """Raises a UsageError unless the device and every arm can be measured in it."""
    if precision == "tf32" and device == "cpu":
        raise UsageError("--precision tf32: a CPU has none; take --device gpu, or --precision bf16")
    for name, arm in arms.items():
        if precision not in arm.precisions:
            raise UsageError(
                f"--precision {precision}: arm {name} computes in {', '.join(arm.precisions)} only; leave it out"
            )


def _default_workloads(options: Options, profile: Profile) -> list[Workload]:
    published = [catalogue.load(name) for name in catalogue.names(comparators=False)]
    if not profile.converge:
        return published
    others = [spec.with_settings(head=head) for spec in published for head in spec.heads if head != spec.head]
    comparators = [catalogue.load(name) for name in catalogue.names() if catalogue.load(name) not in published]
    return [*published, *([] if options.head else others), *comparators]
