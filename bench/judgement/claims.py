"""The seven claims of the book's text, each with what decides it, declared before the trainings it is judged from.

How seeds, arms and censored trainings enter stands in `bench.judgement.evidence`. Quality is the best validation value
of the workload's own schedule by its declared metric; the margin is the one it declares. Two classifiers are compared
with the head `logits`: under the published one a seed may be unable to learn, which the text did not mean. A claim
about the course of one training is judged under both heads, since the text speaks of the published one; that was added
after trainings under it had been seen, by the rule that stood for the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench.judgement import evidence
from bench.judgement.evidence import Part, Verdict
from bench.judgement.trainings import PUBLISHED_HEAD, Training, Untried, of
from bench.published import COMPARABLE, published_curve
from bench.record import Run

SIGNIFICANTLY = 1.5
"""Claim 5: an epoch takes so many times as long."""
CHOSEN = 8
"""Claim 6: so many epochs."""
LITTLE, MUCH = 1.1, 1.25
"""Claim 7: a loss so many times as high is a small cost, one so many times as high a large one."""
DEVICES = ("cpu", "gpu")


Mine = Mapping[str, Sequence[Training]]
"""The trainings of the workloads that a claim is about."""


@dataclass(frozen=True)
class Claim:
    """What the text says, and what decides it."""

    number: int
    text: str
    decides: str
    workloads: tuple[str, ...]
    parts: Callable[[Run, Mine], list[Part]]
    notes: Callable[[Run, Mine], list[str]] | None = None
    """What a reader should know beside the verdict."""
    by_device: bool = False
    variant: str = ""
    """Of a claim that is judged more than once: how the workload was trained, `with logits`."""


def _margin(run: Run, *names: str) -> float:
    """The declared margin of the first of these that the run has; of none it is not asked for."""
    qualities = (run.workloads[name].quality for name in names if name in run.workloads)
    return next((quality.margin for quality in qualities if quality), 0.0)


def _first(run: Run, mine: Mine) -> list[Part]:
    what = "best validation accuracy, lstm minus conv"
    return [evidence.better(what, mine["lstm"], mine["conv"], _margin(run, "conv"))]


def _second(run: Run, mine: Mine) -> list[Part]:
    return evidence.slower("epoch time, lstm over conv", mine["lstm"], mine["conv"], 1.0, 1 + run.margin)


def _beats_naive(name: str, run: Run, mine: Mine) -> Part:
    what = f"naive loss minus the best validation loss of {name}"
    naive = run.workloads[name].naive_loss if mine[name] else None
    if naive is None:
        return Part(what, "NOT MEASURED")
    return evidence.better_than(what, mine[name], naive, _margin(run, name))


def _third(run: Run, mine: Mine) -> list[Part]:
    return [evidence.opposite(_beats_naive("conv_only", run, mine))]


def _fourth(run: Run, mine: Mine) -> list[Part]:
    what = "best validation loss, conv_only minus conv_gru"
    beats = evidence.better(what, mine["conv_gru"], mine["conv_only"], _margin(run, "conv_gru"))
    return [beats, _beats_naive("conv_gru", run, mine)]


def _fifth(run: Run, mine: Mine) -> list[Part]:
    what = "best validation loss, conv_gru minus gru"
    quality = evidence.better(what, mine["gru"], mine["conv_gru"], _margin(run, "conv_gru"))
    epochs = "epoch time, gru over conv_gru"
    return [quality, *evidence.slower(epochs, mine["gru"], mine["conv_gru"], SIGNIFICANTLY, SIGNIFICANTLY)]


def _sixth(run: Run, mine: Mine) -> list[Part]:
    def cost(training: Training) -> float | None:
        if training.censored or training.epochs < CHOSEN:
            return None
        return abs(training.best[-1] - training.values[CHOSEN - 1])

    ((name, trainings),) = mine.items()
    margin = _margin(run, name)
    what = f"best validation accuracy of {name} minus that of epoch {CHOSEN}"
    costs_more = partial(evidence.decide, sure=margin, none=margin)
    learning = [training for training in trainings if not training.dead]
    return [evidence.opposite(evidence.averaged(what, learning, cost, costs_more, "difference"))]


def _seventh(run: Run, mine: Mine) -> list[Part]:
    whats = [f"validation loss of {name}, shuffled over in order" for name in ("conv_only", "conv_gru")]
    bounds = [partial(evidence.decide, sure=bound, none=bound) for bound in (LITTLE, MUCH)]
    little = evidence.averaged(whats[0], mine["conv_only"], _shuffled, bounds[0], "ratio")
    much = evidence.averaged(whats[1], mine["conv_gru"], _shuffled, bounds[1], "ratio")
    return [evidence.opposite(little), much]


def _shuffled(training: Training) -> float | None:
    """Validation loss with shuffled time steps, mean of the permutations, over that in order, at the best epoch."""
    tested = training.tested
    if tested is None or not 0 < tested.epoch <= training.epochs:
        return None
    losses = [metrics["loss"] for metrics in tested.shuffled if "loss" in metrics]
    in_order = training.points[tested.epoch - 1].validation["loss"]
    return sum(losses) / len(losses) / in_order if losses and in_order > 0 else None


def _low_forties(run: Run, mine: Mine) -> list[str]:
    """Claim 3: what the text says of its own output."""
    published = published_curve("conv_only.csv")
    assert published is not None, "this package carries it"
    column = published["val_loss"]
    ours = [f"{training.best[-1]:.3f}" for training in mine["conv_only"] if training.best]
    said = (
        f"the text puts conv_only in the low 0.40s; its own output runs from {column.min():.3f} to {column.max():.3f}, "
        f"{int((column < 0.45).sum())} of {len(column)} epochs below 0.45"
    )
    return [said + (f"; ours, best epochs: {', '.join(ours)}" if ours else "")]


def _best_epochs(run: Run, mine: Mine) -> list[str]:
    """Claim 6: where the best epochs lie."""
    trainings = [training for found in mine.values() for training in found if training.epochs]
    dead = dict.fromkeys(str(training.seed) for training in trainings if training.dead)
    found = sorted(training.best_epoch for training in trainings if not training.dead)
    told = [f"left out: dead seeds {', '.join(dead)}, for which no number of epochs is right or wrong"] if dead else []
    if not found:
        return told
    inside = "lies among them" if found[0] <= CHOSEN <= found[-1] else "does not lie among them"
    return [*told, f"best epochs: {', '.join(map(str, found))}; {CHOSEN} {inside}"]


def _windows(run: Run, mine: Mine) -> list[str]:
    """Claims 4 and 5: their workloads look back differently far."""
    return ["the two look back differently far, so their validation windows are not quite the same"]


def _skill(run: Run, mine: Mine) -> list[str]:
    """Claim 7: how many permutations there are, the ratio of every training, and whether there is any skill to lose."""
    told = []
    for name, trainings in mine.items():
        ratios = [(training, ratio) for training in trainings if (ratio := _shuffled(training)) is not None]
        if not ratios:
            continue
        counts = sorted({len(training.tested.shuffled) for training, _ in ratios if training.tested})
        each = ", ".join(f"{ratio:.2f}" for _, ratio in ratios)
        told.append(f"{name}, of every training, over {' or '.join(map(str, counts))} permutations: {each}")
        naive = run.workloads[name].naive_loss
        if naive is not None and all(training.best[-1] >= naive for training, _ in ratios):
            told.append(
                f"no training of {name} beats the naive forecast: a model without skill may be blind to order for that"
            )
    return told


EIGHT = f"{CHOSEN} epochs are right for `conv`."
EIGHT_DECIDES = (
    f"What stopping after {CHOSEN} epochs costs: the best validation accuracy of the schedule minus that of epoch "
    f"{CHOSEN} itself, whether it came earlier or later. CONFIRMED: the interval lies below the margin. REFUTED: "
    f"above it. Told beside it: the best epoch of every training, and whether {CHOSEN} lies among them."
)

CLAIMS = (
    Claim(
        1,
        "`conv` validates somewhat below `lstm` in accuracy.",
        "Best validation accuracy of `lstm` minus that of `conv`. CONFIRMED: its interval lies above 0. REFUTED: it "
        "does not, and lies below the margin: `conv` is as good or better.",
        ("conv", "lstm"),
        _first,
    ),
    Claim(
        2,
        "`conv` trains faster than `lstm`, on the CPU and on the GPU.",
        "Epoch time of `lstm` over that of `conv`, in every arm that trained both, by device. CONFIRMED: above 1 in "
        "each. REFUTED: in each below 1 and the run's margin for times. Where arms disagree: UNRESOLVED.",
        ("conv", "lstm"),
        _second,
        by_device=True,
    ),
    Claim(
        3,
        "`conv_only` does not beat `naive`, tomorrow as warm as now.",
        "Naive loss minus the best validation loss of `conv_only`, the epoch that speaks most for it. REFUTED: the "
        "interval lies above 0. CONFIRMED: it does not, and lies below the margin.",
        ("conv_only",),
        _third,
        _low_forties,
    ),
    Claim(
        4,
        "`conv_gru` beats `conv_only` and `naive`.",
        "Best validation loss of `conv_only`, and naive loss, each minus the best validation loss of `conv_gru`. "
        "CONFIRMED: both intervals lie above 0. REFUTED: one does not, and lies below the margin.",
        ("conv_gru", "conv_only"),
        _fourth,
        _windows,
    ),
    Claim(
        5,
        "`conv_gru` is not quite as good as `gru`, and significantly faster.",
        "Best validation loss of `conv_gru` minus that of `gru`, each after its own schedule: as in claim 1. And epoch "
        f"time of `gru` over that of `conv_gru`: CONFIRMED above {SIGNIFICANTLY:g}, REFUTED below it. Both are needed; "
        "one refuted refutes.",
        ("conv_gru", "gru"),
        _fifth,
        _windows,
    ),
    Claim(
        6,
        EIGHT,
        f"{EIGHT_DECIDES} Dead seeds are left out. This second verdict was added after trainings under the published "
        "head had been seen; its rule is the one declared before.",
        (f"conv.head-{PUBLISHED_HEAD}",),
        _sixth,
        _best_epochs,
        variant="as published",
    ),
    Claim(6, EIGHT, EIGHT_DECIDES, ("conv",), _sixth, _best_epochs, variant="with logits"),
    Claim(
        7,
        "Convolutions with pooling are nearly blind to order: shuffled time steps cost `conv_only` little and "
        "`conv_gru` much.",
        "Validation loss with the time steps of every window shuffled, mean of the permutations, over that in order, "
        f"at the best epoch. CONFIRMED: `conv_only` below {LITTLE:g} and `conv_gru` above {MUCH:g}. REFUTED: "
        f"`conv_only` above {LITTLE:g}, or `conv_gru` below {MUCH:g}.",
        ("conv_only", "conv_gru"),
        _seventh,
        _skill,
    ),
)


@dataclass(frozen=True)
class Judgement:
    """A claim, judged; on one device where the claim is about each."""

    claim: Claim
    device: str | None
    verdict: Verdict
    parts: tuple[Part, ...]
    identity: tuple[str, ...]
    """Of the data behind it, each once."""
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The verdict; with the data where that is not the book's."""
        strange = [identity for identity in self.identity if identity not in COMPARABLE]
        on = f", on {' and '.join(strange)} data, which is not the book's" if strange else ""
        return self.verdict + (on if self.verdict != "NOT MEASURED" else "")


def judge(run: Run, trainings: Sequence[Training], untried: Sequence[Untried] = ()) -> tuple[Judgement, ...]:
    """All claims in their order; the one about devices once for each, the one about a course once for each head."""
    return tuple(
        _judge(claim, device, run, of(trainings, device=device), untried)
        for claim in CLAIMS
        for device in (DEVICES if claim.by_device else (None,))
    )


def _judge(
    claim: Claim, device: str | None, run: Run, trainings: Sequence[Training], untried: Sequence[Untried]
) -> Judgement:
    mine = {name: of(trainings, name) for name in claim.workloads}
    missing = [name for name, found in mine.items() if not found]
    parts = tuple(claim.parts(run, mine))
    behind = {training.identity: None for found in mine.values() for training in found}
    notes = [*_missing(missing, device, untried), *(claim.notes(run, mine) if claim.notes else ())]
    return Judgement(claim, device, evidence.conclusion(parts), parts, tuple(behind), tuple(notes))


def _missing(names: Iterable[str], device: str | None, untried: Sequence[Untried]) -> list[str]:
    found = []
    for name in names:
        mine = (entry for entry in untried if entry.workload == name and device in (None, entry.device))
        reason = next((f": {entry.reason}" for entry in mine), ", nor planned in this run")
        found.append(f"{name} was not trained{f' on the {device}' if device else ''}{reason}")
    return found
