"""The answer to each contest in words: who is faster than whom, how sure that is, and do they learn alike."""

from collections.abc import Sequence

from bench import wording
from bench.report import verdicts
from bench.report.contest import ArmSummary, Contest
from bench.report.markdown import short, text
from bench.report.verdicts import Comparison
from bench.stats import Spread
from bench.wording import number

LINK = {"SAME": "as", "FASTER": "than", "SLOWER": "than", "UNRESOLVED": "against"}
"""Between a verdict and the other arm."""


def answer(contest: Contest) -> str:
    """A paragraph of Markdown and a list."""
    head = f"**{short(contest.workload)} on {short(contest.device)}** ({text(contest.spec.title)}; "
    head += f"{text(contest.spec.data.identity)} data): "
    if contest.ranked:
        head += of_others(contest) + _shortest(contest.ranked[0], contest.ranked[0].step_s, "step time", 1e3, "ms")
    elif contest.trained:
        head += of_others(contest) + _shortest(contest.trained[0], contest.trained[0].epoch_s, "epoch time", 1, "s")
    else:
        return head + ("no training was timed." if contest.cells and not contest.stepped else "nothing was measured.")
    found = verdicts.comparisons(contest, "train_step" if contest.ranked else contest.epoch_phase)
    lines = [f"{_sentence(each)}." for each in _of_fastest(found)]
    lines += [*_sure(contest, found), *(_epochs(contest) if contest.ranked else [])]
    lines += [*_unmeasured(contest), *learning(contest), *contest.judged]
    return "\n".join([head, "", *(f"- {line}" for line in lines)]).rstrip()


def of_others(contest: Contest) -> str:
    """What a superlative is said of, where tuned arms stand beside the others."""
    return "of the arms that are not tuned " if contest.has_beside else ""


def _shortest(first: ArmSummary, best: Spread | None, what: str, factor: float, unit: str) -> str:
    assert best is not None
    low, high = number(best.low * factor), number(best.high * factor)
    spread = f"{verdicts.blocks(best.blocks)}, {low} to {high} {unit}" if best.blocks > 1 else "1 block"
    rate = f", {number(first.throughput.median)} samples/s" if first.throughput and unit == "ms" else ""
    sentence = f"the shortest {what} is {short(first.arm)}'s, {number(best.median * factor)} {unit} "
    return f"{sentence}(median of block medians; {spread}){rate}."


def _of_fastest(found: Sequence[Comparison]) -> list[Comparison]:
    return [each for each in found if each.a.arm == found[0].a.arm]


def _sentence(each: Comparison) -> str:
    a, b, effect = short(each.a.arm), short(each.b.arm), each.effect
    ratio, sure = wording.ratio(effect).split(" ", 1)
    sure = f"{sure}, {verdicts.blocks(effect.blocks)}"
    if each.verdict in ("FASTER", "SLOWER"):
        return f"{a} is {each.verdict} than {b}: takes {ratio} of its time {sure}"
    if each.verdict == "SAME":
        return f"{a} and {b} take the SAME time: ratio {ratio} {sure}"
    return f"{a} against {b} is UNRESOLVED: ratio {ratio} {sure}"


def _sure(contest: Contest, found: Sequence[Comparison]) -> list[str]:
    """All pairs in numbers and why there are not more blocks of them; the noise and what it hides."""
    phase = "train_step" if contest.ranked else contest.epoch_phase
    pairs, stopped = verdicts.tally(found) if len(found) > 1 else "", verdicts.why_stopped(contest)
    noise, hidden = verdicts.noise_line(contest, phase), verdicts.smallest(found)
    lines = (" ".join(filter(None, both)) for both in ((pairs, stopped), (noise, hidden)))
    return [line for line in lines if line]


def _epochs(contest: Contest) -> list[str]:
    """One line; the section's table has every pair."""
    found = _of_fastest(verdicts.comparisons(contest, contest.epoch_phase))
    if not found:
        return []
    best = found[0].a.epoch_s
    assert best is not None
    if verdicts.undecided(contest, contest.epoch_phase):
        others = [f"{short(each.b.arm)} {number(1 / each.effect.ratio)}" for each in found]
        return [
            f"Epoch time: {of_others(contest)}the shortest is {short(found[0].a.arm)}'s, {number(best.median)} s; in "
            "times of it, without "
            f"interval or verdict after one block: {', '.join(others)}."
        ]
    others = [f"{each.verdict} {LINK[each.verdict]} {short(each.b.arm)} {wording.ratio(each.effect)}" for each in found]
    count = {verdicts.blocks(each.effect.blocks) for each in found}
    return [
        f"Epoch time: {of_others(contest)}the shortest is {short(found[0].a.arm)}'s, {number(best.median)} s; "
        f"{', '.join(others)}; {' or '.join(sorted(count))}."
    ]


def _unmeasured(contest: Contest) -> list[str]:
    if not contest.ranked:
        return []
    missing = [
        f"{short(arm.arm)} ({(arm.unmeasured or '').partition(':')[0]})" for arm in contest.arms if not arm.step_s
    ]
    return [f"Without a step time: {', '.join(missing)}."] if missing else []


def learning(contest: Contest) -> list[str]:
    """Where the losses of the arms that went furthest ended, as one line; none where no curve tells.

    Only in the blocks that all of them have: other seeds end elsewhere, whichever the arm.
    """
    last = [arm for arm in contest.arms if arm.epochs == contest.epochs and "loss" in arm.validation]
    if not last or contest.cut_epoch_steps:
        return []
    losses = _last_losses(contest, [arm.contestant for arm in last])
    if not losses:
        return []
    low, high = f"{min(losses):.4f}", f"{max(losses):.4f}"
    words = (low if low == high else f"{low} to {high}") + (f" over {len(last)} arms" if len(last) > 1 else "")
    naive = contest.spec.naive_loss
    beside = f"; naive {naive:.4f}" if naive is not None else ""
    verdict = "" if contest.judged else " Too few trainings for a verdict on it."
    return [f"Validation loss after epoch {contest.epochs}: {words}{beside}.{verdict}"]


def _last_losses(contest: Contest, arms: Sequence[str]) -> list[float]:
    """Validation loss after the last epoch, median over the blocks that all arms have, of each of them."""
    points = contest.points
    kept = points[
        (points["split"] == "validation")
        & (points["metric"] == "loss")
        & (points["epoch"] == contest.epochs)
        & points["contestant"].isin(arms)
    ]
    table = kept.pivot_table(index="block", columns="contestant", values="value", aggfunc="median").dropna()
    return [] if table.empty else [float(value) for value in table.median()]
