"""How much a run measures: `smoke`, `quick` and `book`, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SHORT = ("first_step", "train_step")
FULL = ("first_step", "train_step", "epoch", "validate")
STARTS_SEEDS = 50
"""So many seeds, from 0, are looked at before their first step: of the suite's initial weights, and of an arm's own."""
STARTS_TRAINED = (2, 5, 1)
"""So many of the first dead, partly live and live seeds are trained, to see what becomes of them."""


@dataclass(frozen=True)
class Profile:
    """The numbers of one profile."""

    name: str
    purpose: str
    blocks: int
    """At least so many, unless the budget ends first."""
    most_blocks: int
    """Further ones are added up to so many, until every interval is narrow enough."""
    full_blocks: int
    """So many blocks, from the first, measure `epoch` and `validate` too."""
    rounds: int
    """Of `train_step`, warm-up included."""
    budget_s: float | None
    """Where `--budget` does not say; None: as long as it takes."""
    converge: bool = False
    """One cell per workload and arm that trains the whole schedule, instead of blocks."""
    steps_per_round: Mapping[str, int] = field(default_factory=lambda: {"cpu": 1, "gpu": 10})
    """By device: on a GPU one step is shorter than what waiting for the device costs."""

    def phases(self, block: int) -> tuple[str, ...]:
        """What every cell of `block` (numbered from 1) measures."""
        if self.converge:
            return ("converge",)
        return FULL if block <= self.full_blocks else SHORT


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            "every cell once, a few steps; no epoch, since a part of one is not an epoch",
            blocks=1,
            most_blocks=1,
            full_blocks=0,
            rounds=5,
            budget_s=None,
        ),
        Profile(
            "quick",
            "a defensible answer within the budget: first step and step time in every block, epochs in two",
            blocks=6,
            most_blocks=60,
            full_blocks=2,
            rounds=35,
            budget_s=600,
        ),
        Profile(
            "book",
            "the published training schedule, every epoch validated",
            blocks=1,
            most_blocks=1,
            full_blocks=0,
            rounds=0,
            budget_s=None,
            converge=True,
        ),
    )
}
