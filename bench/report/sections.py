"""The part of the report on one contest: its tables and figures."""

from collections.abc import Mapping, Sequence

from bench import effects, wording
from bench.published import COLUMNS
from bench.record import Parity, Workload
from bench.report import curves, published, verdicts
from bench.report.contest import ArmSummary, Contest
from bench.report.figures import Drawing
from bench.report.kernels import kernels
from bench.report.ledger import where_the_time_goes
from bench.report.limits import limits
from bench.report.markdown import short, table, text
from bench.report.parity_table import parity_table
from bench.report.resources import resources
from bench.stats import Spread
from bench.wording import number


def section(contest: Contest, drawings: Mapping[str, Drawing], parities: Sequence[Parity]) -> list[str]:
    """Markdown blocks; `drawings` by the name of their kind."""
    where = f"{short(contest.workload)} on {short(contest.device)}"

    def figure(name: str) -> list[str]:
        drawing = drawings.get(name)
        return [f"![{where}: {drawing.what}]({drawing.path})"] if drawing else []

    return [
        f"## {title(contest)}",
        *figure("throughput"),
        *(["### Step time", *_steps(contest), *_verdicts(contest, "train_step")] if contest.stepped else []),
        "### Epoch, first step, validation",
        *figure("epoch_time"),
        *_passes(contest),
        *_verdicts(contest, contest.epoch_phase),
        "### Learning",
        *figure("learning"),
        *_learning(contest),
        *_titled("### Speed against quality", figure("quality")),
        *_titled("### Where the time goes", [*figure("phases"), *where_the_time_goes(contest)]),
        *_titled("### Every round", figure("rounds")),
        *_titled("### Resources and cause", resources(contest)),
        *_titled("### Kernels of a step", kernels(contest)),
        *_titled("### Distance to the limit", limits(contest)),
        "### Parity",
        *parity_table(contest, parities),
        "### Model",
        *_model(contest.spec),
    ]


def title(contest: Contest) -> str:
    """What the section is called, as Markdown."""
    return f"{short(contest.workload)} on {short(contest.device)}: {short(contest.spec.title)}"


def _titled(title: str, blocks: list[str]) -> list[str]:
    return [title, *blocks] if blocks else []


def _steps(contest: Contest) -> list[str]:
    ranked = contest.ranked
    unmeasured = "\n".join(
        f"- {short(arm.arm)}: no step time; {text(arm.unmeasured)}" for arm in contest.arms if arm.unmeasured
    )
    if not ranked:
        return [unmeasured]
    beside = verdicts.beside_fastest(contest, "train_step")
    rows = [_step_row(arm, beside.get(arm.arm), arm is ranked[0]) for arm in ranked]
    header = ["arm", "samples/s", "step ms", "time / fastest's", "blocks", "to first result cold s", "warm s"]
    header += ["p50 ms", "p90 ms", "p99 ms", "warm-up rounds"]
    steps = {arm.round_steps for arm in ranked}
    rounds = "every round is one step" if steps == {1} else f"rounds of {_either(steps)} steps, divided by them"
    last = "; tuned arms last, held against the fastest of the others" if contest.has_beside else ""
    note = (
        "Samples/s and step ms: median of block medians. Time / fastest's: with its 95 % interval, from the blocks "
        f"both have{last}. To first result: from the start of the process to the first update done (interpreter, data, "
        "import, build, stage, first step); cold in block 1 with empty compile caches, warm the median of later ones. "
        f"Percentiles: counted rounds of all blocks together; {rounds}. Warm-up rounds: where the step times show its "
        "end, fewest to most of the blocks; they do not count."
    )
    asides = [_aside(arm) for arm in ranked if arm.aside]
    return [table(header, rows), note, *asides, *([unmeasured] if unmeasured else [])]


def _step_row(arm: ArmSummary, beside: verdicts.Comparison | None, fastest: bool) -> list[str]:
    assert arm.step_s is not None
    low, high = arm.warmup_rounds or (0, 0)
    return [
        short(arm.arm),
        _median(arm.throughput),
        number(arm.step_s.median * 1e3),
        _beside(beside, arm.step_s, fastest),
        str(arm.step_s.blocks),
        number(arm.first_result_cold_s),
        _median(arm.first_result_warm_s),
        *(number(value * 1e3) for value in arm.step_percentiles_s or ()),
        str(low) if low == high else f"{low} to {high}",
    ]


def _beside(comparison: verdicts.Comparison | None, own: Spread, fastest: bool) -> str:
    """The number of blocks stands here too where it is not that of the row."""
    if comparison is None:
        return "fastest" if fastest else "no block in common"
    effect = comparison.effect
    return wording.ratio(effect) + (f", {verdicts.blocks(effect.blocks)}" if effect.blocks != own.blocks else "")


def _verdicts(contest: Contest, phase: str) -> list[str]:
    what = "step" if phase == "train_step" else "epoch"
    if verdicts.undecided(contest, phase):
        return [f"No pair by its {what} time: one block gives no interval, so no verdict."]
    found = verdicts.verdict_table(contest, phase)
    first = ", the A/A control first" if verdicts.control(contest, phase) else ""
    return [f"Every pair by its {what} time{first}:", found] if found else []


def _aside(arm: ArmSummary) -> str:
    assert arm.aside is not None
    about, aside_s, own_s = arm.aside
    return (
        f"Aside, not compared: {short(arm.arm)} with {text(about)} takes {number(aside_s * 1e3)} ms a step, its "
        f"own step {number(own_s * 1e3)} ms in the same process (block 1, no interval)."
    )


def _passes(contest: Contest) -> list[str]:
    metrics = [metric for metric in contest.spec.metrics if any(metric in arm.validation for arm in contest.arms)]
    header = ["arm", "epoch s", "blocks", "epoch / steps", "validation s", "first step cold s", "warm s"]
    header += [f"validation {short(metric)}" for metric in metrics]
    rows = [
        [
            short(arm.arm),
            _median(arm.epoch_s),
            str(arm.epoch_s.blocks) if arm.epoch_s else "-",
            _loop_cost(contest, arm),
            _median(arm.validate_s),
            number(arm.first_step_cold_s),
            _median(arm.first_step_warm_s),
            *(_metric(arm.validation.get(metric)) for metric in metrics),
        ]
        for arm in contest.arms
    ]
    note = (
        "Epoch / steps: the time of an epoch over that of as many single steps, with its 95 % interval: what the "
        "high-level training loop and its data cost (below 1, it is faster than single steps). First step: "
        "build, stage, compile, one step; cold is block 1 with empty compile caches, warm the median of later blocks."
    )
    blocks = [table(header, rows), note, *(["A block is one seed: its whole trainings."] if contest.judged else [])]
    if contest.cut_epoch_steps:
        blocks.append(f"**Epochs were cut** to {contest.cut_epoch_steps} of {contest.spec.steps_per_epoch} steps.")
    return blocks


def _loop_cost(contest: Contest, arm: ArmSummary) -> str:
    epochs, steps = contest.figures(contest.epoch_phase), contest.figures("train_step")
    effect = effects.effect(epochs.get(arm.contestant, {}), steps.get(arm.contestant, {}))
    return wording.ratio(effect) if effect else "-"


def _learning(contest: Contest) -> list[str]:
    spec, blocks = contest.spec, []
    book = published.beside(contest)
    if not contest.has_curves:
        blocks.append("No epoch was trained in this run.")
    arms = [arm.arm for arm in contest.arms if arm.epochs]
    for metric in spec.metrics if contest.has_curves and (contest.epochs > 1 or book is not None) else ():
        column = COLUMNS.get(("validation", metric))
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
    precision = f"; products in {short(spec.precision)}" if spec.precision != "float32" else ""
    facts = (
        f"Input ({', '.join(map(str, spec.input_shape))}); batch {spec.batch_size}, {spec.steps_per_epoch} steps an "
        f"epoch; {text(spec.optimizer)}{head}{precision}; {spec.flops_per_step:,} FLOPs "
        f"and {spec.bytes_per_step:,} bytes a step (analytic); digest {text(spec.digest)}."
    )
    return [facts, table(["layer", "kind", "output shape", "parameters"], rows, left=3)]


def _median(spread: Spread | None) -> str:
    return number(spread.median if spread else None)


def _metric(spread: Spread | None) -> str:
    return f"{spread.median:.4f}" if spread else "-"


def _either(steps: set[int | None]) -> str:
    return " or ".join(str(step) for step in sorted(step for step in steps if step))
