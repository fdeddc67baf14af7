"""Two runs side by side as a page of Markdown: what differs, the step times, the ratios between arms, one sentence."""

from collections.abc import Sequence

from bench.compare import Comparison, Gap, Pair, Shift
from bench.differences import Difference
from bench.effects import Effect
from bench.report import verdicts
from bench.report.markdown import number, short, table, text, visible

OVERLAP = {True: "overlap", False: "do not overlap", None: "nothing to compare"}


def page(found: Comparison) -> str:
    """The whole page; the same two runs give the same bytes."""
    blocks = [
        f"# Run {short(found.b.id)} (B) against run {short(found.a.id)} (A)",
        f"A was started {text(found.a.started)}, B {text(found.b.started)}.",
        f"**{sentence(found)}**",
        *_differences(found),
    ]
    for workload in found.a.workloads:
        shifts = [shift for shift in found.shifts if shift.workload == workload]
        pairs = [pair for pair in found.pairs if pair.workload == workload]
        if shifts or pairs:
            blocks.append(f"## {short(workload)}")
        blocks += [_shifts(shifts, found.phase)] if shifts else []
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


def _shifts(shifts: Sequence[Shift], phase: str) -> str:
    rows = [
        [short(each.contestant), _time(each.a), _time(each.b), verdicts.ratio(each.ratio), each.verdict]
        for each in shifts
    ]
    where = "step time" if phase == "train_step" else "step time in epochs"
    return table(["arm", f"{where} in A, ms", f"{where} in B, ms", "time B / A", "B is"], rows)


def _time(effect: Effect) -> str:
    blocks = verdicts.blocks(effect.blocks)
    middle_ms = number(effect.ratio * 1e3)
    if effect.blocks == 1:
        return f"{middle_ms} (no interval), {blocks}"
    return f"{middle_ms} [{number(effect.low * 1e3)}, {number(effect.high * 1e3)}], {blocks}"


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = [
        [short(each.contestant), short(each.against), _ratio(each.a), _ratio(each.b), OVERLAP[each.overlap]]
        for each in pairs
    ]
    return table(["arm", "against", "time ratio in A", "time ratio in B", "intervals"], rows, left=2)


def _ratio(effect: Effect | None) -> str:
    return "-" if effect is None else f"{verdicts.ratio(effect)}, {verdicts.blocks(effect.blocks)}"


def _gaps(gaps: Sequence[Gap]) -> str:
    rows = [[short(gap.workload), short(gap.contestant), text(gap.why), str(gap.a), str(gap.b)] for gap in gaps]
    header = ["workload", "arm", "why", "cells in A", "cells in B"]
    return "## Cells without figures\n\n" + table(header, rows, left=3)


def _legend(found: Comparison) -> str:
    return (
        "How to read this: a step time is the geometric mean of the blocks' medians, with a 95 % interval. Between two "
        "runs step times may shift (heat, another kernel, a neighbour) and neither is wrong: their interval knows "
        "the scatter within each run only. SAME, FASTER, SLOWER and UNRESOLVED are what they are in a report, margin "
        f"{100 * found.a.margin:g} %. A ratio between arms is paired, block by block within one run: it is what must "
        "come out again. Intervals that overlap do not prove two ratios equal: what is smaller than they stays hidden."
    )
