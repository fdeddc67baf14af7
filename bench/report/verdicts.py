"""Who is faster than whom: every pair of arms with its interval and verdict, the A/A control, and why blocks stopped.

A ratio is a time over a time, the geometric mean over the blocks in which both contestants ran; it is never shown
without its interval and the number of those blocks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench import effects, record, wording
from bench.effects import Effect, Verdict
from bench.report.contest import ArmSummary, Contest
from bench.report.markdown import short, table, text
from bench.wording import number

Figures = Mapping[str, Mapping[int, float]]
"""Contestant → block → step time."""


@dataclass(frozen=True)
class Comparison:
    """Contestant `a` against contestant `b`."""

    a: ArmSummary
    b: ArmSummary
    effect: Effect
    verdict: Verdict

    @property
    def is_control(self) -> bool:
        return self.a.arm == self.b.arm


def against(figures: Figures, a: ArmSummary, b: ArmSummary, margin: float) -> Comparison | None:
    """One against another; None without a block that both have."""
    found = effects.effect(figures.get(a.contestant, {}), figures.get(b.contestant, {}))
    return Comparison(a, b, found, effects.verdict(found, margin)) if found else None


def comparisons(contest: Contest, phase: str) -> list[Comparison]:
    """Every pair of arms, the faster one first."""
    figures = contest.figures(phase)
    ranked = {arm.arm: arm for arm in (contest.ranked if phase == "train_step" else contest.trained)}
    found = (against(figures, ranked[a], ranked[b], contest.run.margin) for a, b in effects.pairs(ranked))
    return [comparison for comparison in found if comparison]


def control(contest: Contest, phase: str) -> Comparison | None:
    """The A/A control: the arm that was entered twice, against itself; None where it has not run."""
    if contest.control is None:
        return None
    entered = next(arm for arm in contest.arms if arm.arm == contest.control.arm)
    return against(contest.figures(phase), entered, contest.control, contest.run.margin)


def beside_fastest(contest: Contest, phase: str) -> dict[str, Comparison]:
    """Every arm against the fastest one, by the arm's name; the fastest itself is left out."""
    ranked = contest.ranked if phase == "train_step" else contest.trained
    figures = contest.figures(phase)
    found = ((arm.arm, against(figures, arm, ranked[0], contest.run.margin)) for arm in ranked[1:])
    return {name: comparison for name, comparison in found if comparison}


def blocks(count: int) -> str:
    """`1 block`, `6 blocks`."""
    return f"{count} block" + ("" if count == 1 else "s")


def detectable(effect: Effect) -> str:
    """`3.1 %`."""
    return _percent(effect.detectable) if effect.detectable is not None else "-"


def smallest(found: Sequence[Comparison]) -> str | None:
    """What difference could have stayed hidden, in words."""
    known = [each for each in found if each.effect.detectable is not None]
    if not known:
        return None
    sizes = [each.effect.detectable for each in known if each.effect.detectable is not None]
    low, high = _percent(min(sizes)), _percent(max(sizes))
    size = f"{low[0].upper()}{low[1:]} is" if low == high else f"Between {low} and {high}, by pair, is"
    of = ""
    if len(known) == 1 < len(found):
        of = f" between {short(known[0].a.contestant)} and {short(known[0].b.contestant)}"
    return f"{size} the smallest true difference{of} that 4 of 5 such runs would find."


def _percent(share: float) -> str:
    return f"{number(100 * share, 2)} %" if share < 1 else "over 100 %"


def undecided(contest: Contest, phase: str) -> bool:
    """Whether there are pairs, and none of them has an interval."""
    found = comparisons(contest, phase)
    return bool(found) and all(math.isinf(each.effect.high) for each in found)


def verdict_table(contest: Contest, phase: str) -> str | None:
    """The A/A control's row, then every pair's; None where nothing can be compared."""
    noise = control(contest, phase)
    found = ([noise] if noise else []) + comparisons(contest, phase)
    if not found:
        return None
    rows = [
        [
            short(each.a.arm),
            f"itself ({each.b.label})" if each.is_control else short(each.b.arm),
            each.verdict,
            wording.figure(each.effect.ratio, each.effect),
            wording.interval(each.effect),
            str(each.effect.blocks),
            detectable(each.effect),
        ]
        for each in found
    ]
    header = ["A", "B", "A is", "time A / B", "95 % interval", "blocks", "detectable"]
    return table(header, rows, left=3)


def noise_line(contest: Contest, phase: str) -> str | None:
    """The A/A control in words."""
    found = control(contest, phase)
    if found is None:
        return None
    effect = found.effect
    return (
        f"Noise of this machine: {short(found.a.arm)} against itself {wording.ratio(effect)}, {blocks(effect.blocks)}, "
        f"{found.verdict}."
    )


def tally(found: Iterable[Comparison]) -> str:
    """How many pairs have which verdict, those that are no difference by name unless all are."""
    by_verdict: dict[str, list[Comparison]] = {}
    for each in found:
        by_verdict.setdefault("different" if each.verdict in ("FASTER", "SLOWER") else each.verdict, []).append(each)
    total = sum(map(len, by_verdict.values()))
    parts = [f"{len(by_verdict['different'])} FASTER or SLOWER"] if "different" in by_verdict else []
    for kind in ("SAME", "UNRESOLVED"):
        if kind in by_verdict:
            names = ", ".join(f"{short(each.a.arm)} and {short(each.b.arm)}" for each in by_verdict[kind])
            parts.append(f"{len(by_verdict[kind])} {kind}" + (f" ({names})" if len(by_verdict) > 1 else ""))
    return f"Of {total} pair{'' if total == 1 else 's'}: {'; '.join(parts)}."


def why_stopped(contest: Contest) -> str | None:
    """Whether the workload's blocks answered every question, or what ended them; None where there is no pair.

    The runner adds blocks only for arms it still tries, so that the intervals of the others are not waited for.
    """
    figures = contest.figures("train_step")
    labels = ("", record.CONTROL)
    left = [name for arm in contest.given_up for label in labels if (name := record.contestant(arm, label)) in figures]
    found = _effects({name: blocks for name, blocks in figures.items() if name not in left})
    aside = len(_effects(figures)) - len(found)
    names = ", ".join(map(short, left))
    without = f" Left out: {_pairs(aside)} with {names}, given up because of failures." if aside else ""
    if not found:
        return without.strip() or None
    wide = sum(not effects.narrow(effect, contest.run.margin) for effect in found)
    after = blocks(max(effect.blocks for effect in found))
    among = _pairs(len(found))
    among += " (the A/A control counted in)" if contest.control and contest.control.arm not in contest.given_up else ""
    if not wide:
        return f"After {after} the intervals were narrow enough: of all {among}.{without}"
    ended = contest.run.ended_because or "no reason is known"
    ended = ended if contest.run.finished else f"not finished; {ended}"
    return f"After {after} not yet narrow enough: {wide} of {among}; the run ended: {text(ended)}.{without}"


def _effects(figures: Figures) -> list[Effect]:
    pairs = ((figures[a], figures[b]) for a, b in effects.pairs(figures))
    return [effect for a, b in pairs if (effect := effects.effect(a, b))]


def _pairs(count: int) -> str:
    return f"{count} pair{'' if count == 1 else 's'}"


def intervals(contest: Contest) -> int:
    """How many intervals between contestants its tables show."""
    found = [
        each
        for phase in ("train_step", contest.epoch_phase)
        for each in (*comparisons(contest, phase), control(contest, phase))
    ]
    return sum(each is not None and math.isfinite(each.effect.high) for each in found)


def legend(margin: float, intervals: int) -> str:
    """What the verdicts mean, and how many of the intervals may be expected to miss."""
    low, high = 1 / (1 + margin), 1 + margin
    misses = intervals * (1 - effects.CONFIDENCE)
    return (
        "How to read a verdict: a ratio is the geometric mean of the ratios in the blocks that both arms have, so not "
        "quite the quotient of their medians; its 95 % interval is made from the logarithms of these ratios (from six "
        f"blocks on at {100 * effects.STOPPED_CONFIDENCE:g} %, to hold 95 % although blocks stop once intervals are "
        f"narrow). **SAME**: it lies inside [{low:.3f}, {high:.3f}] (margin {100 * margin:g} %). **FASTER**, "
        "**SLOWER**: it excludes 1 and does not lie inside that. **UNRESOLVED**: neither; more blocks would tell. "
        f"Each interval holds with 95 % on its own: of the {intervals} in the tables of pairs about "
        f"{number(misses, 2)} miss the true ratio. Detectable: the smallest true difference that so many blocks with "
        "so much scatter would show with 80 % power."
    )
