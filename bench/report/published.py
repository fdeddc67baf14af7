"""The published learning curves, and when they may stand beside measured ones: never on other or synthetic data."""

import pandas as pd

from bench import record
from bench.published import COMPARABLE, published_curve
from bench.report.contest import Contest


def beside(contest: Contest) -> pd.DataFrame | None:
    """Published figures by epoch (index), columns of the file; None where they may not stand beside measured ones."""
    return None if contest.spec.published is None or refusal(contest) else published_curve(contest.spec.published.curve)


def refusal(contest: Contest) -> str | None:
    """Why the published figures do not stand beside this contest's; None when they do, or when there are none."""
    if contest.spec.published is None:
        return None
    identity = contest.spec.data.identity
    if identity not in COMPARABLE:
        return f"the data is {identity}, the published figures are of the genuine data"
    if contest.cut_epoch_steps is not None:
        return f"epochs were cut to {contest.cut_epoch_steps} of {contest.spec.steps_per_epoch} steps"
    return None if contest.has_curves else "no learning curve was measured"


def head_note(spec: record.Workload) -> str | None:
    """What to know when a classifier's published curve stands beside a run with another head."""
    if spec.head is None or spec.head == "as_published":
        return None
    return (
        f"The published curve was made with head `as_published` (clipped probabilities, accuracy by rounding); "
        f"this run has head `{spec.head}`: the curves need not agree."
    )
