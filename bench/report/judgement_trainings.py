"""The part of the report that lists every training: what it reached, and its test set, measured once at the end."""

from bench.judgement.trainings import Training, died_after
from bench.report.judgement_read import Judged
from bench.report.judgement_words import numbers, place
from bench.report.markdown import short, table, text
from bench.wording import number


def blocks(judged: Judged) -> list[str]:
    """Markdown blocks; none where nothing was trained."""
    groups = judged.groups()
    if not groups:
        return []
    note = (
        "Best: the best validation value, which is the epoch whose weights a user keeps; last: that of the last epoch. "
        "Test: with the best epoch's weights, once, at the end. Train s: of all its epochs, evaluation left out. "
        "Taken up: after these epochs it was killed and went on from its checkpoint."
    )
    found = ["## Every training", note]
    for (workload, device), trainings in groups.items():
        spec = judged.run.workloads[workload]
        metrics = [name for name in spec.metrics if any(_tested(each, name) is not None for each in trainings)]
        header = ["arm", "ended", "seed", f"best {short(trainings[0].metric)}", "in epoch", "last", "epochs"]
        header += [*(f"test {short(metric)}" for metric in metrics), "train s"]
        taken_up = any(each.resumed for each in trainings)
        header += ["taken up"] if taken_up else []
        rows = [
            [*_row(training, metrics), *([numbers(training.resumed)] if taken_up else [])] for training in trainings
        ]
        naive = spec.naive_test_loss
        found += [
            f"### Every training: {place(workload, device)}",
            table(header, rows, left=2),
            *([f"Naive loss on the test windows: {naive:.4f}."] if naive is not None else []),
        ]
    return found


def _row(training: Training, metrics: list[str]) -> list[str]:
    reached = ["-", "-", "-"]
    if training.epochs:
        reached = [f"{training.best[-1]:.4f}", str(training.best_epoch), f"{training.values[-1]:.4f}"]
    values = (_tested(training, metric) for metric in metrics)
    return [
        short(training.arm),
        _ended(training),
        str(training.seed),
        *reached,
        str(training.epochs),
        *("-" if value is None else f"{value:.4f}" for value in values),
        number(training.train_s[-1]) if training.train_s else "-",
    ]


def _tested(training: Training, metric: str) -> float | None:
    return training.tested.metrics.get(metric) if training.tested is not None else None


def _ended(training: Training) -> str:
    died = died_after(training)
    words = f"died after epoch {died}" if died and training.fate == "whole" else training.fate
    return words + (f": {text(training.reason)}" if training.reason and training.fate != "whole" else "")
