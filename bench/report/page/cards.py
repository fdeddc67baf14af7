"""The first thing a reader sees: one card for each contest, its arms as bars in the order of their times."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import wording
from bench.record import Parity
from bench.report import verdicts
from bench.report.answers import answer, learning
from bench.report.contest import ArmSummary, Contest
from bench.report.headline import alike, epoch, headline
from bench.report.markdown import visible
from bench.report.style import Look
from bench.report.trust import Word
from bench.wording import number


@dataclass(frozen=True)
class Bar:
    """One arm: its time, and how it stands to the fastest. Shares of the width are in percent."""

    arm: str
    colour: str
    time: str
    ratio: str
    interval: str
    verdict: str
    """Of the arm against the fastest; empty for the fastest itself."""
    width: float
    low: float | None
    """Ends of the interval; None: there is none."""
    high: float | None


@dataclass(frozen=True)
class Card:
    """What a reader learns of one contest at once."""

    workload: str
    device: str
    heading: str
    """Of its section, as Markdown."""
    title: str
    identity: str
    what: str
    """What the bars are: step time or epoch time; empty where nothing was measured."""
    bars: tuple[Bar, ...]
    unmeasured: tuple[tuple[str, str], ...]
    """Arms without a bar, and why."""
    headline: str
    """HTML: the verdict in a sentence or two."""
    epoch: str
    """HTML: whether whole epochs say otherwise; empty where they do not."""
    tuned_last: bool
    """Whether tuned arms stand behind the others, held against the fastest of these."""
    alike: Word
    """Whether its arms learn the same."""
    learning: tuple[str, ...]
    """Where their losses ended: one line, or none."""
    judged: tuple[str, ...]
    """HTML: what is judged of its whole trainings, sentence by sentence."""
    answer: str
    """HTML: everything that is said of it in words."""


def card(
    contest: Contest, parities: Sequence[Parity], looks: dict[str, Look], heading: str, to_html: Callable[[str], str]
) -> Card:
    """The card of one contest; `heading` is that of its section, and `to_html` makes HTML of Markdown."""
    stepping = bool(contest.ranked)
    ranked = contest.ranked or contest.trained
    beside = verdicts.beside_fastest(contest, "train_step" if stepping else contest.epoch_phase)
    longest = max((_reach(beside.get(arm.arm)) for arm in ranked), default=1.0)
    return Card(
        workload=visible(contest.workload),
        device=visible(contest.device),
        heading=heading,
        title=visible(contest.spec.title),
        identity=contest.spec.data.identity,
        what=("step time" if stepping else "epoch time") if ranked else "",
        bars=tuple(
            _bar(arm, beside.get(arm.arm), looks[arm.arm], longest, stepping, arm is ranked[0]) for arm in ranked
        ),
        unmeasured=tuple(
            (visible(arm.arm), visible(arm.unmeasured or "")) for arm in contest.arms if arm not in ranked
        ),
        headline=to_html(headline(contest)),
        epoch=to_html(epoch(contest)),
        tuned_last=contest.has_beside,
        alike=alike(contest, parities),
        learning=tuple(learning(contest)),
        judged=tuple(map(to_html, contest.judged)),
        answer=to_html(answer(contest)),
    )


def _reach(comparison: verdicts.Comparison | None) -> float:
    """How far right a bar or its interval reaches, in times of the fastest; wide intervals are cut."""
    if comparison is None:
        return 1.0
    effect = comparison.effect
    return min(effect.high, 1.6 * effect.ratio) if math.isfinite(effect.high) else effect.ratio


def _bar(
    arm: ArmSummary, comparison: verdicts.Comparison | None, look: Look, longest: float, stepping: bool, fastest: bool
) -> Bar:
    spread = arm.step_s if stepping else arm.epoch_s
    assert spread is not None, "only arms with a time are ranked"
    time = f"{number(spread.median * 1e3)} ms" if stepping else f"{number(spread.median)} s"
    if comparison is None:
        width, words = (100 / longest, "fastest") if fastest else (0.0, "no block in common with the fastest")
        return Bar(visible(arm.arm), look.colour, time, words, "", "", width, None, None)
    effect = comparison.effect
    known = math.isfinite(effect.high)
    ratio, interval = wording.ratio(effect).split(" ", 1)
    return Bar(
        arm=visible(arm.arm),
        colour=look.colour,
        time=time,
        ratio=f"{ratio} \N{MULTIPLICATION SIGN}",
        interval=interval,
        verdict=comparison.verdict,
        width=100 * effect.ratio / longest,
        low=100 * effect.low / longest if known else None,
        high=min(100.0, 100 * effect.high / longest) if known else None,
    )
