"""The answer to each contest in words: who is fastest, by how much, from how many blocks, and do they learn alike."""

from bench.report.markdown import number, short, text
from bench.report.summary import ArmSummary, Contest
from bench.stats import Spread

CAVEAT = (
    "A ratio is one of medians of block medians. The range over blocks is no interval: whether a ratio near 1 is more "
    "than noise is not judged here."
)


def answer(contest: Contest) -> str:
    """One paragraph of Markdown."""
    head = f"**{short(contest.workload)} on {short(contest.device)}** ({text(contest.spec.title)}; "
    head += f"{text(contest.spec.data.identity)} data): "
    stepped = [(arm, arm.step_s) for arm in contest.ranked if arm.step_s]
    if stepped:
        sentences = [_ranking(stepped, "step time", 1e3, "ms"), *_unmeasured(contest)]
    else:
        trained = sorted(((arm, arm.epoch_s) for arm in contest.arms if arm.epoch_s), key=lambda pair: pair[1].median)
        if not trained:
            return head + "nothing was measured."
        sentences = [_ranking(trained, "epoch time", 1, "s")]
    return head + " ".join([*sentences, *_learning(contest)])


def _ranking(measured: list[tuple[ArmSummary, Spread]], what: str, factor: float, unit: str) -> str:
    first, best = measured[0]
    low, high = number(best.low * factor), number(best.high * factor)
    spread = f"{_blocks(best.blocks)}, {low} to {high} {unit}" if best.blocks > 1 else "1 block"
    rate = f", {number(first.throughput.median)} samples/s" if first.throughput and what == "step time" else ""
    sentence = f"the shortest {what} is {short(first.arm)}'s, {number(best.median * factor)} {unit} "
    sentence += f"(median of block medians; {spread}){rate}."
    others = [
        f"{short(arm.arm)} takes {spread.median / best.median:.2f} times as long ({_blocks(spread.blocks)})"
        for arm, spread in measured[1:]
    ]
    return f"{sentence} {'; '.join(others)}." if others else sentence


def _unmeasured(contest: Contest) -> list[str]:
    missing = [
        f"{short(arm.arm)} ({(arm.unmeasured or '').partition(':')[0]})" for arm in contest.arms if not arm.step_s
    ]
    return [f"Without a step time: {', '.join(missing)}."] if missing else []


def _learning(contest: Contest) -> list[str]:
    last = [arm for arm in contest.arms if arm.epochs == contest.epochs and "loss" in arm.validation]
    if not last or contest.cut_epoch_steps:
        return []
    losses = [arm.validation["loss"].median for arm in last]
    words = f"{min(losses):.4f}" if len(last) == 1 else f"{min(losses):.4f} to {max(losses):.4f} over {len(last)} arms"
    return [f"Validation loss after epoch {contest.epochs}: {words}."]


def _blocks(blocks: int) -> str:
    return f"{blocks} block" + ("" if blocks == 1 else "s")
