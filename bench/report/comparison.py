"""Two runs side by side as a page of Markdown: what differs, the times, the ratios between arms, a sentence or two."""

import math
from collections.abc import Sequence

from bench import wording
from bench.compare import EPOCH, Comparison, Lost, Pair, Shift
from bench.compare.differences import Difference
from bench.compare.gaps import Gap
from bench.compare.regression import Regressions
from bench.effects import Effect
from bench.report import verdicts
from bench.report.markdown import short, table, text, visible
from bench.wording import number

OVERLAP = {True: "overlap", False: "do not overlap", None: "nothing to compare"}


def page(found: Comparison, judged: Regressions | None = None) -> str:
    """The whole page, with what `--fail-on` asked for; the same two runs give the same bytes."""
    blocks = [
        f"# Run {short(found.b.id)} (B) against run {short(found.a.id)} (A)",
        f"A was started {text(found.a.started)}, B {text(found.b.started)}.",
        f"**{sentence(found)}**",
        *(["\n".join(f"- {line}" for line in regressions(judged))] if judged else []),
        *_differences(found),
    ]
    for workload in found.a.workloads:
        shifts = [
            [shift for shift in found.shifts if (shift.workload, shift.phase) == (workload, phase)]
            for phase in (found.phase, EPOCH)
        ]
        pairs = [pair for pair in found.pairs if pair.workload == workload]
        lost = [each for each in found.lost if each.workload == workload]
        if any(shifts) or pairs or lost:
            blocks.append(f"## {short(workload)}")
        blocks += [_shifts(each) for each in shifts if each]
        blocks += [f"In A and not in B: {_named(lost)}."] if lost else []
        blocks += [_pairs(pairs)] if pairs else []
    blocks += [_gaps(found.gaps)] if found.gaps else []
    return "\n\n".join([*blocks, _legend(found)]) + "\n"


def sentence(found: Comparison) -> str:
    """Whether the ratios between arms came out again."""
    known = [pair for pair in found.pairs if pair.overlap is not None]
    apart = [pair for pair in known if not pair.overlap]
    left = len(found.pairs) - len(known)
    without = f"; {_pairs_of(left)} without two intervals (one block, or not measured in both)" if left else ""
    if not known:
        words = f"No ratio between arms has an interval in both runs{without}"
    elif not apart:
        words = f"All intervals overlap: of {_pairs_of(len(known))} of arms{without}"
    else:
        names = ", ".join(
            f"{short(each.contestant)} / {short(each.against)} on {short(each.workload)}" for each in apart
        )
        words = f"Of {_pairs_of(len(known))} of arms the intervals of {len(apart)} do not overlap: {names}{without}"
    return words + (f". Not comparable: {_list(found.prevented)}." if found.prevented else ".")


def regressions(judged: Regressions) -> list[str]:
    """What came of `--fail-on`, in sentences: what failed, what could not be decided, and what that is worth."""
    limit, most = f"{100 * judged.limit:g} %", f"{1 + judged.limit:g}"
    straddling = [each for each in judged.undecided if not math.isinf(each.ratio.high)]
    single = [each for each in judged.undecided if math.isinf(each.ratio.high)]
    if judged.failed:
        words = f"Regression of more than {limit}: {_named(judged.failed)}."
    elif judged.passed or judged.undecided:
        words = f"No regression of more than {limit} is proved."
    else:
        words = f"Nothing could be decided about a regression of more than {limit}: the runs have no time in common."
    lines = [
        (judged.passed, f"{len(judged.passed)} at most {limit} slower, the whole interval of each."),
        (straddling, f"{len(straddling)} not decided, the interval holds {most}: {_named(straddling)}."),
        (single, f"{len(single)} not decided, one block gives no interval: {_named(single)}."),
        (judged.lost, f"{len(judged.lost)} in A and not in B, which is no regression: {_named(judged.lost)}."),
    ]
    return [
        words,
        *(line for those, line in lines if those),
        "An interval knows the scatter within each run and nothing of the machine in between: one that has become "
        "slower makes all its arms slower, and the ratios between arms stay.",
    ]


def _named(times: Sequence[Shift] | Sequence[Lost]) -> str:
    """The arms of each workload's times, with the ratios where there are some."""
    groups: dict[str, list[str]] = {}
    for each in times:
        ratio = f" {wording.ratio(each.ratio)}" if isinstance(each, Shift) else ""
        groups.setdefault(f"{_kind(each)} on {short(each.workload)}", []).append(short(each.contestant) + ratio)
    return "; ".join(f"{what} of {', '.join(arms)}" for what, arms in groups.items())


def _kind(each: Shift | Lost) -> str:
    return "epoch time" if each.phase == EPOCH else "step time"


def prevented(found: Comparison) -> str:
    """What keeps the two from being compared, as one plain line."""
    return "; ".join(visible(difference) for difference in found.prevented)


def _pairs_of(count: int) -> str:
    return f"{count} pair{'' if count == 1 else 's'}"


def _list(differences: Sequence[Difference]) -> str:
    return "; ".join(text(difference) for difference in differences)


def _differences(found: Comparison) -> list[str]:
    prevented = found.prevented
    merely = [difference for difference in found.differences if not difference.prevents]
    blocks = ["## What differs"]
    if prevented:
        reasons = "\n".join(f"- {text(difference)}" for difference in prevented)
        blocks.append(f"Not comparable; the figures below are shown all the same:\n\n{reasons}")
    if merely:
        what = "Besides" if prevented else "What does not prevent a comparison"
        blocks.append(f"{what}:\n\n" + "\n".join(f"- {text(difference)}" for difference in merely))
    return blocks if found.differences else [*blocks, "Nothing of what both records hold."]


def _shifts(shifts: Sequence[Shift]) -> str:
    """Of one workload and phase."""
    phase = shifts[0].phase
    what = _kind(shifts[0]) + (" in epochs" if phase == "converge" else "")
    unit, factor = ("s", 1.0) if phase == EPOCH else ("ms", 1e3)
    rows = [
        [short(each.contestant), _time(each.a, factor), _time(each.b, factor), wording.ratio(each.ratio), each.verdict]
        for each in shifts
    ]
    return table(["arm", f"{what} in A, {unit}", f"{what} in B, {unit}", "time B / A", "B is"], rows)


def _time(effect: Effect, factor: float) -> str:
    blocks = verdicts.blocks(effect.blocks)
    middle, low, high = (number(end * factor) for end in (effect.ratio, effect.low, effect.high))
    return f"{middle} {'(no interval)' if effect.blocks == 1 else f'[{low}, {high}]'}, {blocks}"


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = [
        [short(each.contestant), short(each.against), _ratio(each.a), _ratio(each.b), OVERLAP[each.overlap]]
        for each in pairs
    ]
    return table(["arm", "against", "time ratio in A", "time ratio in B", "intervals"], rows, left=2)


def _ratio(effect: Effect | None) -> str:
    return "-" if effect is None else f"{wording.ratio(effect)}, {verdicts.blocks(effect.blocks)}"


def _gaps(gaps: Sequence[Gap]) -> str:
    rows = [[short(gap.workload), short(gap.contestant), text(gap.why), str(gap.a), str(gap.b)] for gap in gaps]
    header = ["workload", "arm", "why", "cells in A", "cells in B"]
    return "## Cells without figures\n\n" + table(header, rows, left=3)


def _legend(found: Comparison) -> str:
    return (
        "How to read this: a time is the geometric mean of the blocks' medians, with a 95 % interval. Between two "
        "runs times may shift (heat, another kernel, a neighbour) and neither is wrong: their interval knows "
        "the scatter within each run only. SAME, FASTER, SLOWER and UNRESOLVED are what they are in a report, margin "
        f"{100 * found.a.margin:g} %. A ratio between arms is paired, block by block within one run: it is what must "
        "come out again. Intervals that overlap do not prove two ratios equal: what is smaller than they stays hidden."
    )
