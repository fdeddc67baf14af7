"""What the GitHub action `benchmark-action/github-action-benchmark` draws over commits: `customSmallerIsBetter`.

An array of entries {name, unit, value, range, extra}. A name holds nothing of the run, so that the action finds the
same entry in the next one, and a unit never changes.
"""

import json
from collections.abc import Sequence

from bench.report.contest import Contest
from bench.report.folder import Folder
from bench.report.markdown import visible
from bench.stats import Spread
from bench.wording import number


def export(folder: Folder, contests: Sequence[Contest]) -> bytes:
    """Step time (ms) and epoch time (s) of every arm that has one: the median of its blocks' medians.

    `range` is from the lowest block to the highest: no interval, it carries no probability.
    """
    entries = []
    for contest in contests:
        where = f"{visible(contest.workload)} on {visible(contest.device)}"
        about = f"{contest.spec.data.identity} data, workload digest {visible(contest.spec.digest)}"
        for arm in contest.arms:
            name = f"{where}: {visible(arm.contestant)}"
            extra = f"run {visible(folder.run.id)}\n{about}"
            if arm.step_s:
                entries.append(_entry(f"{name}, step time", "ms", 1e3, arm.step_s, extra))
            if arm.epoch_s:
                steps = f"\nepochs of {arm.epoch_steps} of {contest.spec.steps_per_epoch} steps"
                entries.append(_entry(f"{name}, epoch time", "s", 1.0, arm.epoch_s, extra + steps))
    return json.dumps(entries, indent=1).encode() + b"\n"


def _entry(name: str, unit: str, factor: float, spread: Spread, extra: str) -> dict[str, str | float]:
    return {
        "name": name,
        "unit": unit,
        "value": spread.median * factor,
        "range": f"{number(spread.low * factor, 4)} to {number(spread.high * factor, 4)}",
        "extra": f"{extra}\nmedian of {spread.blocks} blocks, range: lowest to highest block",
    }
