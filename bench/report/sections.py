"""The part of the report on one contest: its tables and figures."""

from collections.abc import Mapping, Sequence

from bench.record import Parity, Workload
from bench.report import curves, published
from bench.report.markdown import number, short, table, text
from bench.report.parity_table import parity_table
from bench.report.summary import ArmSummary, Contest
from bench.stats import Spread

MIB = 2**20


def section(contest: Contest, figures: Mapping[str, str], parities: Sequence[Parity]) -> list[str]:
    """Markdown blocks; `figures` maps what a figure shows to its path from the report."""
    title = f"## {short(contest.workload)} on {short(contest.device)}: {text(contest.spec.title)}"
    images = [
        f"![{short(contest.workload)} on {short(contest.device)}: {what}]({path})" for what, path in figures.items()
    ]
    blocks = [title, *images[:1], "### Step time", *_steps(contest)]
    blocks += ["### Epoch, first step, memory, validation", *_passes(contest), *images[1:2], "### Learning"]
    blocks += [*_learning(contest), *images[2:]]
    return [*blocks, "### Parity", *parity_table(contest, parities), "### Model", *_model(contest.spec)]


def _steps(contest: Contest) -> list[str]:
    ranked = contest.ranked
    unmeasured = "\n".join(
        f"- {short(arm.arm)}: no step time; {text(arm.unmeasured)}" for arm in contest.arms if arm.unmeasured
    )
    if not ranked:
        return [unmeasured]
    rows = [_step_row(contest, arm, ranked[0]) for arm in ranked]
    header = ["arm", "samples/s", "step ms", "ratio", "block min", "block max", "blocks"]
    header += ["p50 ms", "p90 ms", "p99 ms", "GFLOP/s"]
    steps = {arm.round_steps for arm in ranked}
    rounds = "every round is one step" if steps == {1} else f"rounds of {_either(steps)} steps, divided by them"
    note = (
        "Samples/s and step ms: median of block medians; ratio: to the shortest step time. "
        f"Percentiles: counted rounds of all blocks together; {rounds}. "
        f"GFLOP/s is derived: {contest.spec.flops_per_step:,} FLOPs a step by analytic count, over the step time."
    )
    asides = [_aside(arm) for arm in ranked if arm.aside]
    return [table(header, rows), note, *asides, *([unmeasured] if unmeasured else [])]


def _aside(arm: ArmSummary) -> str:
    assert arm.aside is not None
    about, aside_s, own_s = arm.aside
    return (
        f"Aside, not compared: {short(arm.arm)} with {text(about)} takes {number(aside_s * 1e3)} ms a step, its "
        f"own step {number(own_s * 1e3)} ms in the same process ({aside_s / own_s:.2f} times as long; block 1)."
    )


def _step_row(contest: Contest, arm: ArmSummary, best: ArmSummary) -> list[str]:
    assert arm.step_s is not None
    assert best.step_s is not None
    step, counted = arm.step_s, arm.step_percentiles_s or ()
    return [
        short(arm.arm),
        _median(arm.throughput),
        number(step.median * 1e3),
        f"{step.median / best.step_s.median:.2f}",
        number(step.low * 1e3),
        number(step.high * 1e3),
        str(step.blocks),
        *(number(value * 1e3) for value in counted),
        number(contest.spec.flops_per_step / step.median / 1e9),
    ]


def _passes(contest: Contest) -> list[str]:
    gpu = any(arm.device_peak_memory_bytes for arm in contest.arms)
    metrics = [metric for metric in contest.spec.metrics if any(metric in arm.validation for arm in contest.arms)]
    header = ["arm", "epoch s", "loop cost", "validation s", "first step cold s", "warm s", "peak MiB"]
    header += (["device peak MiB"] if gpu else []) + [f"validation {short(metric)}" for metric in metrics]
    rows = []
    for arm in contest.arms:
        memory = [arm.peak_memory_bytes] + ([arm.device_peak_memory_bytes] if gpu else [])
        rows.append(
            [
                short(arm.arm),
                _median(arm.epoch_s),
                number(arm.loop_cost),
                _median(arm.validate_s),
                number(arm.first_step_cold_s),
                _median(arm.first_step_warm_s),
                *(number(size / MIB) if size else "-" for size in memory),
                *(_metric(arm.validation.get(metric)) for metric in metrics),
            ]
        )
    note = (
        "Loop cost of the high-level training loop: epoch time over steps x step time (1 is nothing; below 1, the loop "
        "is faster than single steps). First step: build, stage, compile, one step; cold is block 1 with empty compile "
        "caches, warm the median of later blocks. Peak memory: the largest of all cells."
    )
    blocks = [table(header, rows), note]
    if contest.cut_epoch_steps:
        blocks.append(f"**Epochs were cut** to {contest.cut_epoch_steps} of {contest.spec.steps_per_epoch} steps.")
    return blocks


def _learning(contest: Contest) -> list[str]:
    spec, blocks = contest.spec, []
    book = published.beside(contest)
    if not contest.has_curves:
        blocks.append("No epoch was trained in this run.")
    arms = [arm.arm for arm in contest.arms if arm.epochs]
    for metric in spec.metrics if contest.has_curves and (contest.epochs > 1 or book is not None) else ():
        column = published.METRICS.get(("validation", metric))
        shown = [(short(arm), curves.values(contest, arm, "validation", metric)) for arm in arms]
        if book is not None and column in book:
            shown.append(("published", book[column]))
        rows = [
            [str(epoch), *(f"{curve[epoch]:.4f}" if epoch in curve.index else "-" for _, curve in shown)]
            for epoch in range(1, contest.epochs + 1)
        ]
        header = ["epoch", *(heading for heading, _ in shown)]
        blocks += [f"Validation {short(metric)} (median over blocks):", table(header, rows, left=0)]
    if spec.naive_loss is not None:
        blocks.append(f"Naive loss, tomorrow as warm as now, on the same validation windows: {spec.naive_loss:.4f}.")
    if spec.published is not None:
        refused = published.refusal(contest)
        if book is not None:
            seconds = f"it prints {number(float(book['seconds'].median()))} s as its median epoch"
            blocks.append(f"Published: {text(spec.published.source)}; {seconds}.")
            blocks += [note] if (note := published.head_note(spec)) else []
        else:
            blocks.append(f"Published figures are not shown: {text(refused or 'this bench does not carry them')}.")
    return blocks


def _model(spec: Workload) -> list[str]:
    rows = [
        [text(name), short(kind), f"({', '.join(map(str, shape))})", f"{parameters:,}"]
        for name, kind, shape, parameters in spec.layers
    ]
    rows.append(["total", "", "", f"{spec.parameters:,}"])
    head = f"; head {short(spec.head)}" if spec.head else ""
    facts = (
        f"Input ({', '.join(map(str, spec.input_shape))}); batch {spec.batch_size}, {spec.steps_per_epoch} steps an "
        f"epoch; {text(spec.optimizer)}{head}; {spec.flops_per_step:,} FLOPs and {spec.bytes_per_step:,} bytes a step "
        f"(analytic); digest {text(spec.digest)}."
    )
    return [facts, table(["layer", "kind", "output shape", "parameters"], rows, left=3)]


def _median(spread: Spread | None) -> str:
    return number(spread.median if spread else None)


def _metric(spread: Spread | None) -> str:
    return f"{spread.median:.4f}" if spread else "-"


def _either(steps: set[int | None]) -> str:
    return " or ".join(str(step) for step in sorted(step for step in steps if step))
