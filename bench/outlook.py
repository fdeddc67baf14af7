"""`bench plan`: the grid that `run` would measure, with time and memory."""

import itertools

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import plan, runner
from bench.contest import Options
from bench.display.live import duration
from bench.estimate import memory_bytes
from bench.execution import Setting
from bench.profiles import STARTS_TRAINED
from bench.record import STARTS


def show(options: Options, setting: Setting, console: Console) -> None:
    """Prints the grid and what was decided about it; measures nothing."""
    ready, _, cells, notes, outlook = runner.planned(options, setting)
    table = Table("block", "workload", "arms in order", "phases", "time", "memory of a cell")
    groups = itertools.groupby(cells, key=lambda cell: (cell.block, cell.workload, cell.phases))
    for (block, name, phases), group in groups:
        members = list(group)
        memory = memory_bytes(ready.workloads.get(name), setting.assumptions)
        arms = ", ".join(cell.contestant + ("" if ready.can(cell) else " (hole)") for cell in members)
        time = duration(sum(cell.estimate_s for cell in members))
        table.add_row(str(block), name, escape(arms), ", ".join(phases), time, f"{memory / 2**30:.1f} GiB")
    console.print(table)
    total_s, limit_s = (
        sum(cell.estimate_s for cell in cells),
        plan.budget_s(ready.options, setting.profiles[ready.options.profile]),
    )
    console.print(f"{len(cells)} cells, about {duration(total_s)} after parity", highlight=False)
    for study in (cell for cell in cells if STARTS in cell.phases):
        found = (cell for cell in cells if (cell.workload, cell.arm) == (study.workload, study.arm) and cell != study)
        more, each_s = sum(STARTS_TRAINED), next(found).estimate_s
        console.print(
            f"{study.workload}: then up to {more} trainings more by {study.arm}, of seeds that the study of dead "
            f"starts singles out, about {duration(more * each_s)}",
            highlight=False,
            soft_wrap=True,
        )
    profile = setting.profiles[ready.options.profile]
    if profile.most_blocks > profile.blocks:
        console.print(
            f"at least {profile.blocks} blocks, then more (at most {profile.most_blocks}) until every interval is "
            f"narrow enough for a margin of {ready.options.margin * 100:g}%",
            highlight=False,
            soft_wrap=True,
        )
    if limit_s is not None:
        console.print(f"budget {duration(limit_s)}: cells that do not fit are not started", highlight=False)
    for line in (
        *notes,
        *filter(None, [outlook]),
        *dict.fromkeys(
            f"hole: {arm}: {reason}"
            for name in ready.workloads
            for arm in ready.arms
            if (reason := ready.hole(name, arm)) is not None
        ),
        str(setting.assumptions),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
