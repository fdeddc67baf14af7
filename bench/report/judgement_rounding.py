"""Why accuracy falls while the training loss falls under the published head: outputs that round to neither label."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bench.judgement import dead_start
from bench.judgement.dead_start import Contradiction
from bench.judgement.trainings import Training
from bench.published import published_curve
from bench.record import ROUNDING_METRICS, SHARED, CurvePoint
from bench.report.captions import heading, legend
from bench.report.judgement_read import Judged
from bench.report.judgement_starts import COLOURS, start_of
from bench.report.judgement_words import count
from bench.report.markdown import short, table, text
from bench.report.style import GREY, WIDTH_IN

ABOVE, BELOW, CUT = ROUNDING_METRICS
AS_PUBLISHED, DASHED = "-", (0, (3, 1.5))


def lead(judged: Judged) -> str:
    """The answer as a bullet of Markdown."""
    said = (
        "- **Why accuracy falls while the training loss falls.** Accuracy counts `round(output) == label`: an output "
        "above 1.5 rounds to 2, one below -0.5 to -1, and both count as wrong, however right the side. Beyond 0 and 1 "
        "the loss of a right answer is the least there is, so that nothing pulls an output back: a model that grows "
        "surer of right answers loses accuracy for it."
    )
    last = [(training, training.points[-1]) for training in _alive(judged) if _told(training.points[-1])]
    if not last:
        return said
    above, below, accuracy, cut = (
        sum(point.validation[name] for _, point in last) / len(last) for name in (ABOVE, BELOW, "accuracy", CUT)
    )
    return said + (
        f" Here, after the last epoch of {count(len(last), 'training')} alive to the end, {100 * above:.1f} % "
        f"of the validation outputs lie above 1.5 and {100 * below:.1f} % below -0.5; validation accuracy is "
        f"{accuracy:.4f}, and {cut:.4f} if outputs are cut at 0.5. (Outputs of the training set were not kept.)"
    )


def blocks(judged: Judged) -> list[str]:
    """Markdown blocks."""
    found = [
        "Training loss and accuracy from the epoch of the highest accuracy to the last:",
        "\n".join(f"- {line}" for line in _contradictions(judged)),
    ]
    shares = list(_shares(judged))
    if shares:
        header = ["training", "epoch", "validation loss", "accuracy", "cut at 0.5", "above 1.5", "below -0.5"]
        note = (
            "Validation set, at the epoch with the highest accuracy and at the last. Above 1.5, below -0.5: share of "
            "the outputs that round to neither label. Cut at 0.5: the accuracy if an output above 0.5 counted as 1."
        )
        return [*found, table(header, shares, left=1), note]
    names = ", ".join(ROUNDING_METRICS)
    return [*found, f"NOT MEASURED: the shares of such outputs; the epochs of this run do not record {text(names)}."]


def data(judged: Judged) -> pd.DataFrame:
    """A row per epoch of every training that is not dead and records it: shares of outputs and both accuracies."""
    starts = {start.seed: start for start in judged.starts if start.initialiser == SHARED}
    rows = [
        (training.workload, training.arm, training.seed, start_of(training, starts.get(training.seed)), point.epoch,
         point.validation["loss"], point.validation["accuracy"], *(point.validation[name] for name in ROUNDING_METRICS))
        for training in judged.published_head()
        if not training.dead
        for point in training.points
        if _told(point)
    ]  # fmt: skip
    columns = ["workload", "arm", "seed", "start", "epoch", "loss", "accuracy", *ROUNDING_METRICS]
    return pd.DataFrame(rows, columns=columns)


def draw(frame: pd.DataFrame, identity: str) -> Figure:
    """Left the shares of outputs that round to no label, right the accuracy with them and without; by epoch."""
    top, panel, bottom = 0.98, 2.5, 1.05
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    grid = drawn.add_gridspec(1, 2, left=0.095, right=0.985, bottom=bottom / height, top=1 - top / height, wspace=0.26)
    left, right = (drawn.add_subplot(grid[place]) for place in range(2))
    for (_, _, _, start), mine in frame.groupby(["workload", "arm", "seed", "start"], sort=False):
        for axes, solid, dashed in ((left, ABOVE, BELOW), (right, "accuracy", CUT)):
            for column, style in ((solid, AS_PUBLISHED), (dashed, DASHED)):
                axes.plot(
                    mine["epoch"], mine[column], color=COLOURS[str(start)], linestyle=style, linewidth=1.4, alpha=0.85
                )
    left.set_title("outputs that round to no label", loc="left", fontsize=9.5)
    right.set_title("validation accuracy", loc="left", fontsize=9.5)
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_ylim(bottom=0)
    left.set_ylabel("share of validation outputs")
    for axes in (left, right):
        axes.grid(axis="y")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(11, integer=True))
    starts = [state for state in COLOURS if state in set(frame["start"])]
    entries = [left.plot([], [], color=COLOURS[start], label=f"start: {start}")[0] for start in starts]
    entries += [
        left.plot([], [], color=GREY, linestyle=AS_PUBLISHED, label="above 1.5; accuracy as published")[0],
        left.plot([], [], color=GREY, linestyle=DASHED, label="below -0.5; accuracy cut at 0.5")[0],
    ]
    legend(drawn, entries, columns=2)
    heading(drawn, "surer, and counted as wrong", identity, "a line per training under the published head")
    return drawn


def _told(point: CurvePoint) -> bool:
    return all(name in point.validation for name in ROUNDING_METRICS)


def _alive(judged: Judged) -> Iterator[Training]:
    for training in judged.published_head():
        if training.points and dead_start.became(training) == dead_start.ALIVE:
            yield training


def _contradictions(judged: Judged) -> Iterator[str]:
    """Of the book's own curve and of ours that live to the end."""
    column = published_curve("conv.csv")
    assert column is not None, "this package carries it"
    found = dead_start.contradiction(column["loss"].tolist(), column["acc"].tolist())
    yield f"the book's own: {_contradiction(found)}"
    for training in _alive(judged):
        losses, accuracies = ([point.train[metric] for point in training.points] for metric in ("loss", "accuracy"))
        yield f"{_who(training)}: {_contradiction(dead_start.contradiction(losses, accuracies))}"


def _contradiction(found: Contradiction | None) -> str:
    if found is None:
        return "no such stretch; accuracy and loss do not both fall."
    (loss, last_loss), (accuracy, last_accuracy) = found.loss, found.accuracy
    return (
        f"epochs {found.first} to {found.last}, loss {loss:.4f} to {last_loss:.4f}, accuracy {accuracy:.4f} to "
        f"{last_accuracy:.4f}."
    )


def _who(training: Training) -> str:
    return f"{short(training.arm)}, seed {training.seed}"


def _shares(judged: Judged) -> Iterator[list[str]]:
    """Two rows of each that lives to the end, one where its last epoch is its best."""
    for training in _alive(judged):
        highest = max(training.points, key=lambda point: point.validation["accuracy"])
        for point in dict.fromkeys((highest.epoch, training.points[-1].epoch)):
            values = training.points[point - 1].validation
            if _told(training.points[point - 1]):
                figures = [f"{values[name]:.4f}" for name in ("loss", "accuracy", CUT)]
                yield [
                    _who(training),
                    str(point),
                    *figures,
                    *(f"{100 * values[n]:.1f} %" for n in (ABOVE, BELOW)),
                ]
