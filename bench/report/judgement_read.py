"""What the judgement of a run is made from, read out of its folder once."""

from dataclasses import dataclass, replace

from bench.judgement import claims, dead_start, equivalence, trainings
from bench.judgement.claims import Judgement
from bench.judgement.equivalence import Equivalence
from bench.judgement.trainings import Training, Untried
from bench.record import Run, Start
from bench.report.folder import Folder


@dataclass(frozen=True)
class Judged:
    """A run with whole trainings or dead starts in it."""

    run: Run
    trainings: tuple[Training, ...]
    untried: tuple[Untried, ...]
    starts: tuple[Start, ...]
    claims: tuple[Judgement, ...]
    equivalences: tuple[Equivalence, ...]

    def groups(self) -> dict[tuple[str, str], tuple[Training, ...]]:
        """Trainings by workload and device, in the order of the run's workloads."""
        found = trainings.groups(self.trainings)
        order = list(self.run.workloads)
        return {key: found[key] for key in sorted(found, key=lambda key: (order.index(key[0]), key[1]))}

    @property
    def reviews_identity(self) -> str:
        """Of the data that classifiers train on; empty without one."""
        return next((spec.data.identity for spec in self.run.workloads.values() if spec.head is not None), "")

    def published_head(self) -> tuple[Training, ...]:
        """Those under the published head."""
        heads = {name: spec.head for name, spec in self.run.workloads.items()}
        return tuple(each for each in self.trainings if heads[each.workload] == trainings.PUBLISHED_HEAD)


def judged(folder: Folder) -> Judged | None:
    """The run, judged; None where neither whole schedules nor starts were planned in it."""
    run = folder.run
    aside = {entry.cell: f"its record was set aside: {entry.reason}" for entry in folder.set_aside}
    found = trainings.read(run, folder.cells)
    left = tuple(
        replace(entry, reason=aside.get(entry.cell, entry.reason)) for entry in trainings.untried(run, folder.cells)
    )
    starts = dead_start.starts(folder.cells)
    if not (found or left or starts):
        return None
    margins = {name: spec.quality.margin for name, spec in run.workloads.items() if spec.quality}
    return Judged(
        run,
        found,
        left,
        starts,
        claims.judge(run, found, left),
        equivalence.compare(found, margins),
    )
