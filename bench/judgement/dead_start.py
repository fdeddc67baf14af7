"""The broken head: how many seeds are dead before the first step, and what becomes of those that are not.

Under the published head the loss is cross-entropy on the raw output, clipped to [1e-7, 1 - 1e-7]: an output outside
(0, 1) has no gradient at all. A start is
- dead when no training sample's output lies in (0, 1): every gradient is exactly zero and stays so;
- live when all do; partly live otherwise: only those samples teach.
Shares over seeds have the exact interval of Clopper and Pearson (1934). The suite's shared initial weights are held
against the frameworks' own initialisers, the control, by Fisher's exact test (1922) on dead or not: if they differed,
the suite's weights would be to blame.

**Why accuracy falls while the loss falls.** The published accuracy is `round(output) == label`. The loss only asks that
an output be large where the label is 1, and clips: an output above 1.5 has the smallest loss there is and rounds to 2,
one below -0.5 rounds to -1, and both count as wrong. What shows it is the share of such outputs; curves have it where
the epochs record the metrics `ROUNDING_METRICS`. Without them the curves show the contradiction and not its cause.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from bench.judgement import intervals
from bench.judgement.trainings import PUBLISHED_HEAD, Training, died_after
from bench.record import SHARED, Cell, Run, Start

State = Literal["dead", "partly live", "live"]
STATES: tuple[State, ...] = ("dead", "partly live", "live")
ALIVE = "alive to the end"
"""What `became` of a training whose loss moved in every epoch."""


@dataclass(frozen=True)
class Shares:
    """How the seeds of one initialiser start."""

    initialiser: str
    counts: dict[State, int]
    intervals: dict[State, tuple[float, float]]
    """95 %, of the share of each state."""
    against_shared: float | None
    """P value of Fisher's exact test, dead or not, against the shared initialiser; None for that itself, or without."""

    @property
    def seeds(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Outcome:
    """What became of a trained seed."""

    training: Training
    start: Start | None
    """With the shared initial weights; None: not looked at."""
    words: str


@dataclass(frozen=True)
class Contradiction:
    """A stretch of epochs in which the training loss falls and the training accuracy falls."""

    first: int
    """Epoch with the highest accuracy."""
    last: int
    loss: tuple[float, float]
    accuracy: tuple[float, float]


def starts(cells: Iterable[Cell]) -> tuple[Start, ...]:
    """Every start once, in order of initialiser (the shared first) and seed; of equal ones the first is taken.

    One of no samples says nothing and is left out.
    """
    found: dict[tuple[bool, str, int], Start] = {}
    for start in (start for cell in cells for start in cell.starts if start.samples > 0):
        found.setdefault((start.initialiser != SHARED, start.initialiser, start.seed), start)
    return tuple(found[key] for key in sorted(found))


def state(start: Start) -> State:
    """Dead, partly live or live."""
    return "dead" if not start.live else "live" if start.live == start.samples else "partly live"


def shares(found: Sequence[Start]) -> tuple[Shares, ...]:
    """By initialiser, the shared one first."""
    by_initialiser: dict[str, list[State]] = {}
    for start in found:
        by_initialiser.setdefault(start.initialiser, []).append(state(start))
    own = by_initialiser.get(SHARED)
    return tuple(
        Shares(
            initialiser,
            {kind: states.count(kind) for kind in STATES},
            {kind: intervals.share(states.count(kind), len(states)) for kind in STATES},
            fisher(own, states) if own is not None and initialiser != SHARED else None,
        )
        for initialiser, states in by_initialiser.items()
    )


def fisher(a: Sequence[State], b: Sequence[State]) -> float:
    """P value, two-sided, of as unequal shares of dead starts where the true ones are equal."""
    rows = [[states.count("dead"), len(states) - states.count("dead")] for states in (a, b)]
    return float(stats.fisher_exact(np.array(rows)).pvalue)


def to_train(found: Iterable[Start], dead: int, partly: int, live: int) -> dict[State, tuple[int, ...]]:
    """Which seeds to train: of the shared initialiser the first of each state, in the order of the seeds."""
    mine = sorted((start for start in found if start.initialiser == SHARED), key=lambda start: start.seed)
    wanted: dict[State, int] = {"dead": dead, "partly live": partly, "live": live}
    return {kind: tuple(start.seed for start in mine if state(start) == kind)[:count] for kind, count in wanted.items()}


def outcomes(run: Run, found: Iterable[Start], trainings: Iterable[Training]) -> tuple[Outcome, ...]:
    """What became of every seed trained under the published head, in order of state, seed and arm."""
    by_seed = {start.seed: start for start in found if start.initialiser == SHARED}
    mine = [training for training in trainings if run.workloads[training.workload].head == PUBLISHED_HEAD]

    def order(training: Training) -> tuple[int, int, str]:
        start = by_seed.get(training.seed)
        return len(STATES) if start is None else STATES.index(state(start)), training.seed, training.arm

    return tuple(Outcome(each, by_seed.get(each.seed), became(each)) for each in sorted(mine, key=order))


def became(training: Training) -> str:
    """In words, without figures of quality: it never moved, died after some epoch, lives to the end, or how it ended.

    One that died moved its validation loss up to that epoch and never again.
    """
    if training.dead:
        return "never moved"
    if training.ended != "whole":
        return f"{training.ended} after epoch {training.epochs}"
    last = died_after(training)
    return f"died after epoch {last}" if last else ALIVE


def contradiction(losses: Sequence[float], accuracies: Sequence[float]) -> Contradiction | None:
    """From the epoch with the highest accuracy to the last, where both end lower; None where they do not."""
    if not accuracies:
        return None
    first = max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])
    if losses[-1] >= losses[first] or accuracies[-1] >= accuracies[first]:
        return None
    last = len(losses)
    return Contradiction(first + 1, last, (losses[first], losses[-1]), (accuracies[first], accuracies[-1]))
