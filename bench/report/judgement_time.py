"""The part of the report on time to quality: how soon every arm reaches the target, and what nobody beats."""

from collections.abc import Sequence

from bench.judgement import time_to_target
from bench.judgement.time_to_target import TimeToTarget
from bench.judgement.trainings import Training
from bench.record import Quality
from bench.report.judgement_figures import Drawings, picture
from bench.report.judgement_read import Judged
from bench.report.judgement_words import censored, numbers, place
from bench.report.markdown import short, table, text
from bench.wording import number


def blocks(judged: Judged, drawings: Drawings) -> list[str]:
    """Markdown blocks."""
    found = ["## Time to quality"]
    for (workload, device), trainings in judged.groups().items():
        quality = judged.run.workloads[workload].quality
        assert quality is not None, "else it is not judged"
        found.append(f"### Time to quality: {place(workload, device)}")
        found += _section(trainings, quality)
        found += picture(drawings, "frontier", workload, device)
    found += [_legend()] if judged.trainings else []
    left = _untried(judged)
    return [*found, "Planned and not trained:", "\n".join(left)] if left else found


def _untried(judged: Judged) -> list[str]:
    """A line for every workload and reason; a workload without any training is NOT MEASURED."""
    trained = {training.workload for training in judged.trainings}
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for entry in judged.untried:
        reasons.setdefault((entry.workload, entry.reason), {})[entry.arm] = None
    return [
        f"- {short(workload)}{'' if workload in trained else ', NOT MEASURED'} ({numbers(map(short, arms))}): "
        f"{text(reason)}."
        for (workload, reason), arms in reasons.items()
    ]


def target(quality: Quality) -> str:
    """`accuracy of at least 0.8200`, as Markdown."""
    reaches = "at least" if quality.metric == "accuracy" else "at most"
    return f"{text(quality.metric)} of {reaches} {number(quality.target, 4)}"


def _section(trainings: Sequence[Training], quality: Quality) -> list[str]:
    found = time_to_target.times(trainings, quality.target)
    training, both = ([each for each in found if each.clock == clock] for clock in time_to_target.CLOCKS)
    horizon = training[0].horizon_s
    rows = []
    for off, on in zip(training, both, strict=True):
        reached, of = off.share
        epochs = numbers("never" if epoch is None else epoch for epoch in off.epochs)
        rows.append([short(off.arm), f"{reached} of {of}", epochs, *_seconds(off), *_seconds(on)])
    header = ["arm", "reached by", "in epoch", "training s", "95 % interval", "with evaluation s", "95 % interval"]
    facts = f"Target: validation {target(quality)}."
    if horizon is not None:
        facts += (
            f" Not all got there: means are restricted to the first {number(horizon)} s "
            f"({number(both[0].horizon_s)} s with evaluation), and never counts as all of them."
        )
    lines = censored(trainings)
    wrong = ["Not whole:\n" + "\n".join(f"- {line}" for line in lines)] if lines else []
    return [facts, table(header, rows, left=1), *wrong]


def _seconds(found: TimeToTarget) -> list[str]:
    mean = found.mean_s
    if mean is None:
        return ["-", "-"]
    known = mean.low is not None and mean.high is not None
    value = number(mean.value)
    if found.horizon_s is not None and not found.share[0]:
        value = f"over {number(found.shortest_s or found.horizon_s)}"
    return [value, f"[{number(mean.low)}, {number(mean.high)}]" if known else "(no interval)"]


def _legend() -> str:
    return (
        "How to read it: seconds until the end of the first epoch whose validation is as good as the target, mean "
        "over the trainings of an arm; evaluation off the clock, then on it. A training that never gets there is not "
        "left out: it counts as the horizon that all arms of the workload have in common (restricted mean); an arm of "
        "which none gets there is shown with the length of its shortest training. Intervals "
        "are Student's t from three seeds on, never narrower than an epoch can tell. The figures show the best value "
        "so far over the seconds of training, means over the seeds that all arms have, up to the last epoch that all "
        "of an arm's trainings have; the grey line is the frontier: no arm has reached a better value sooner."
    )
