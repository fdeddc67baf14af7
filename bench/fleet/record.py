"""`fleet.json`: which machines took part in a fleet's run, in which classes, and what was lost on the way.

The measurements are elsewhere: each class of machines has a run folder of its own beside this file, so that results of
different classes cannot be pooled.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from bench.record import Named

SCHEMA = 1
FILE = "fleet.json"


def find(run: str, out: Path) -> Path | None:
    """The folder of a fleet's run that is named by its path, or by its id under `out`; None where there is none."""
    try:
        return next((folder for folder in (Path(run), out / run) if run and (folder / FILE).is_file()), None)
    except OSError:
        return None  # looking for a run will say so


State = Literal["joining", "took part", "left out", "retired", "gone", "too late"]
"""left out: it failed a check and has measured nothing since; retired: it stayed disturbed; gone: it went away and has
not come back; too late: it was ready when nothing was left to measure."""
ClassId = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,80}\\Z")]
"""Also a folder's name."""
MachineName = Annotated[str, msgspec.Meta(pattern="^(m[0-9]{1,6}|node [0-9a-z.]{1,8})\\Z")]
"""`m1`, `m2`, ...; a node that never said which machine it is goes by the cluster's name of it. Also a folder's."""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine of a fleet."""

    identity: str
    """Hash, hex: the same when it comes back; tells nothing else of it."""
    state: State
    machine_class: str | None = None
    """Id of its class; None: it did not get so far."""
    reason: str | None = None
    """In words, with the cure where there is one; None for one that took part to the end."""
    environment: dict[str, Any] = msgspec.field(default_factory=dict)
    """Keys of `bench.environment.describe`; empty where it did not get so far."""


class Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A block of whole trainings that a machine has begun: what it goes on from lies there."""

    machine_class: str
    block: int
    workload: str
    """Without the settings that are paired with each other."""
    machine: str


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cell that was begun, or measured, and came to nothing because its machine went away."""

    machine: str
    machine_class: str
    cell: str
    at: str
    """UTC, ISO 8601."""
    spent_s: float
    reason: str
    measured: bool = False
    """It had been measured to its end; what was lost is the machine, and with it the rest of its block."""


class Fleet(Named, frozen=True, forbid_unknown_fields=True):
    """A run over many machines."""

    LATEST: ClassVar[int] = SCHEMA
    UNCHECKED: ClassVar[int] = 0
    CURE: ClassVar[str] = "restore it from a copy: the runs of its classes can be read without it, not resumed"
    started: str
    """UTC, ISO 8601."""
    command: tuple[str, ...]
    device: str
    cluster: str
    """Address of the cluster it was started on."""
    classes: dict[ClassId, dict[str, Any]]
    """By id, which is also the name of its run's folder: what all of its machines have in common."""
    machines: dict[MachineName, Machine]
    losses: tuple[Loss, ...] = ()
    begun: tuple[Begun, ...] = ()
    finished: str | None = None
    ended_because: str | None = None
