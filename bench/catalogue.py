"""Every workload there is, by its key: the name of its file, and the settings in which it differs from that spec.

`conv` is the spec, `conv.head-as_published` the same under the published head, `conv_only.batch-32.timesteps-480` with
batches of 32 samples that are 480 time steps long.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from bench.errors import UsageError
from bench.layers import GRU, Gate
from bench.record import Cell, PlannedCell
from bench.workload import PRECISIONS, Head, Workload


@dataclass(frozen=True)
class Setting:
    """What may be changed of a workload from its key."""

    values: tuple[str, ...]
    """That it can have; none: any whole number of at least 1."""
    of: Callable[[Workload], object]
    """That a workload has; two specs of one name that have the same do not differ in it."""

    def parse(self, text: str) -> Any:
        """As `Workload.with_settings` takes it; None for what it cannot be."""
        if self.values:
            return text if text in self.values else None
        return int(text) if text.isdecimal() and text.isascii() and not text.startswith("0") else None

    def describe(self, what: str) -> str:
        """Every value it can have, in words."""
        return ", ".join(f"{what}-{value}" for value in self.values) or f"{what}-N"


def _gate(workload: Workload) -> object:
    return next((layer.gate for layer in workload.layers if isinstance(layer, GRU)), None)


SETTINGS: Mapping[str, Setting] = {
    "head": Setting(get_args(Head), lambda workload: workload.head),
    "gate": Setting(get_args(Gate), _gate),
    "optimizer": Setting(("book",), lambda workload: None if workload.optimizer.epsilon_inside else "book"),
    "batch": Setting((), lambda workload: workload.batch_size),
    "timesteps": Setting((), lambda workload: workload.data.time_steps),
    "precision": Setting(PRECISIONS, lambda workload: workload.precision),
    "devices": Setting((), lambda workload: workload.devices),
}
"""In the order in which they stand in a key."""
Unit = tuple[int, str]
"""Block and workload, without the settings whose values are compared with each other."""
BESIDE = ("batch", "timesteps", "devices")
"""Settings whose values are compared with each other within a run, so that all of them are paired."""


def names(*, comparators: bool = True) -> tuple[str, ...]:
    """Every workload there is, or all but the comparators: the file name in `bench/workloads` is its name."""
    import bench.workloads

    found = sorted(module.name for module in pkgutil.iter_modules(bench.workloads.__path__))
    return tuple(name for name in found if comparators or not load(name).comparator)


def key(workload: Workload) -> str:
    """What a run calls it: its name and every setting that differs from the spec."""
    spec = load(workload.name)
    changed = ((what, setting.of(workload), setting.of(spec)) for what, setting in SETTINGS.items())
    return ".".join([workload.name, *(f"{what}-{mine}" for what, mine, its in changed if mine != its)])


def load(key: str) -> Workload:
    """The workload of that name, with the settings that follow it; a UsageError names the known ones otherwise."""
    name, *settings = key.split(".")
    chosen = _load(name)
    for setting in settings:
        what, _, text = setting.partition("-")
        value = SETTINGS[what].parse(text) if what in SETTINGS else None
        if value is None:
            every = ", ".join(known.describe(kind) for kind, known in SETTINGS.items())
            raise UsageError(f"--workload {key}: no setting {setting!r}; known are {every}")
        chosen = chosen.with_settings(**{what: value})
    return chosen


def family(key: str) -> str:
    """The key without the settings under which a run measures a workload side by side with itself."""
    name, *settings = key.split(".")
    return ".".join([name, *(each for each in settings if each.partition("-")[0] not in BESIDE)])


def unit(cell: PlannedCell | Cell) -> Unit:
    """What the cell is paired within."""
    return cell.block, family(cell.workload)


def on_one_device(several: str) -> tuple[str, ...]:
    """The keys of what a workload on several devices is compared with: on one, its batch or each device's part."""
    spec = load(several)
    if spec.devices == 1:
        return ()
    one, sizes = dataclasses.replace(spec, devices=1), (spec.batch_size, spec.batch_size // spec.devices)
    return tuple(key(one.with_settings(batch=size)) for size in sizes)


def _load(name: str) -> Workload:
    if name == "naive":
        raise UsageError(
            "--workload naive: 'as warm as now' has nothing to train and so no arm; it stands, computed from the data, "
            "in every report of a Jena workload; leave it out"
        )
    if name not in names():
        raise UsageError(f"--workload {name}: no such workload; known are {', '.join(names())}")
    workload = importlib.import_module(f"bench.workloads.{name}").WORKLOAD
    if not isinstance(workload, Workload) or workload.name != name:
        raise TypeError(f"bench/workloads/{name}.py must define WORKLOAD, a Workload named {name!r}")
    return workload
