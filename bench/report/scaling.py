"""What larger batches and longer samples cost: the step times of one workload under several of them, side by side.

The growth from one value to another is the exponent a in `time ~ value ** a`: 1 where twice as many cost twice as much,
0 where they cost nothing more. Its interval is that of the ratio of the two step times over the blocks that both have.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from bench import effects
from bench.record import Workload
from bench.report import figures, style
from bench.report.captions import fitting, heading, legend
from bench.report.contest import Contest
from bench.report.figures import Drawing
from bench.report.frames import to_csv
from bench.report.markdown import short, table, text, visible
from bench.report.style import WIDTH_IN, Look, label, marks
from bench.stats import median
from bench.wording import number

KIND = "scaling"
"""What its files' names begin with."""
NAMES = {"batch": "samples in a batch", "timesteps": "time steps in a sample"}
"""Of the settings in a workload's key that are swept."""


@dataclass(frozen=True)
class Sweep:
    """One workload and device at several values of one setting."""

    workload: str
    """Its key without that setting."""
    device: str
    setting: str
    contests: Mapping[int, Contest]
    """By value, the smallest first."""

    @property
    def arms(self) -> list[str]:
        """Those with a step time at two values or more, in the order of the run."""
        names = next(iter(self.contests.values())).run.arms
        return [arm for arm in names if len(self.times(arm)) > 1]

    def times(self, arm: str) -> dict[int, Mapping[int, float]]:
        """Step time by block, by value."""
        found = {value: contest.figures("train_step").get(arm, {}) for value, contest in self.contests.items()}
        return {value: blocks for value, blocks in found.items() if blocks}


def sweeps(contests: Iterable[Contest]) -> list[Sweep]:
    """Every workload that stands in the run with more than one value of a setting, else being the same."""
    found: dict[tuple[str, str, str], dict[int, Contest]] = {}
    for contest in contests:
        name, *settings = contest.workload.split(".")
        for setting in NAMES:
            others = [each for each in settings if not each.startswith(f"{setting}-")]
            family = ".".join([name, *others]), contest.device, setting
            found.setdefault(family, {})[_value(contest.spec, setting)] = contest
    # Batches that grow with the devices are no sweep: what they bring is told elsewhere.
    return [
        Sweep(*family, dict(sorted(of.items())))
        for family, of in found.items()
        if len(of) > 1 and (family[2] != "batch" or not _grown(family[0], of))
    ]


def _grown(workload: str, of: Mapping[int, Contest]) -> bool:
    """Whether the batches of a workload on several devices are only those of one device, shared out and multiplied."""
    (devices,) = {contest.spec.devices for contest in of.values()}
    return devices > 1 and len(of) == 2 and max(of) == devices * min(of)


def _value(spec: Workload, setting: str) -> int:
    return spec.batch_size if setting == "batch" else spec.input_shape[0]


def growth(times: Mapping[int, Mapping[int, float]], low: int, high: int) -> tuple[float, float, float] | None:
    """The exponent from the value `low` to `high` with its 95 % interval; None without a block that both have."""
    effect = effects.effect(times[high], times[low])
    if effect is None:
        return None
    scale = math.log(high / low)
    least = math.log(effect.low) if effect.low > 0 else -math.inf  # of one block
    return math.log(effect.ratio) / scale, least / scale, math.log(effect.high) / scale


def blocks(found: Sequence[Sweep], drawings: Mapping[str, Drawing]) -> list[str]:
    """Blocks of Markdown; none without a sweep."""
    if not found:
        return []
    note = (
        "Step time in ms: median of block medians. Growth: the exponent a of time ~ value^a, from the smallest to the "
        "largest value, and over an arm's own last step between two, with its 95 % interval from the blocks that both "
        "have. 1: twice as many cost twice as much; below 1 there is room on the device, or a fixed cost in every step."
    )
    lines = ["## Scaling", note]
    for sweep in found:
        lines.append(f"### {short(sweep.workload)} on {short(sweep.device)}: {NAMES[sweep.setting]}")
        path = _path(sweep)
        if path in drawings:
            lines.append(f"![{text(drawings[path].what)}]({path})")
        lines.append(_table(sweep))
    return lines


def _table(sweep: Sweep) -> str:
    rows = []
    for arm in sweep.arms:
        times = sweep.times(arm)
        values, every = list(times), list(sweep.contests)
        steps = [
            number(median(list(times[value].values())) * 1e3) if value in times else "-" for value in sweep.contests
        ]
        whole = growth(times, every[0], every[-1]) if values[0] == every[0] and values[-1] == every[-1] else None
        ends = whole, growth(times, values[-2], values[-1])
        rows.append([short(arm), *steps, *map(_exponent, ends)])
    return table(["arm", *map(str, sweep.contests), "growth, first to last", "last two"], rows)


def _exponent(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return "-"
    middle, low, high = found
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]" if math.isfinite(low) else f"{middle:.2f} (no interval)"


def drawings(found: Iterable[Sweep], arms: Iterable[str]) -> dict[str, Drawing]:
    """A figure of each sweep by its path; `arms` are all of the run, for their colours."""
    looks, drawn = style.looks(arms), {}
    with style.context():
        for sweep in found:
            frame = data(sweep)
            if not frame.empty:
                what = f"{sweep.workload} on {sweep.device}: step time by {NAMES[sweep.setting]}"
                path = _path(sweep)
                drawn[path] = Drawing(KIND, visible(what), path, style.svg(draw(sweep, frame, looks)), to_csv(frame))
    return drawn


def _path(sweep: Sweep) -> str:
    names = (sweep.setting, figures.slug(sweep.workload), figures.slug(sweep.device))
    return f"figures/{KIND}-{'-'.join(names)}.svg"


def data(sweep: Sweep) -> pd.DataFrame:
    """Columns: arm, the setting, block, step_time_s."""
    rows = [
        (arm, value, block, step_s)
        for arm in sweep.arms
        for value, blocks in sweep.times(arm).items()
        for block, step_s in blocks.items()
    ]
    return pd.DataFrame(rows, columns=["arm", sweep.setting, "block", "step_time_s"])


def draw(sweep: Sweep, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """A line per arm through its medians, a marker per block; in grey, twice the time for twice as many."""
    arms = list(dict.fromkeys(map(str, frame["arm"])))
    entries = [
        *(Line2D([], [], color=looks[arm].colour, marker=looks[arm].marker, label=label(arm)) for arm in arms),
        Line2D([], [], color=style.FAINT, linewidth=1.4, label="twice as many, twice the time"),
    ]
    columns, lines = fitting(entries)
    top, panel, bottom = 0.7, 3.2, 0.62 + lines
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    axes = drawn.add_axes((0.095, bottom / height, 0.885, panel / height))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for arm, mine in frame.groupby("arm", sort=False):
        look = looks[str(arm)]
        middles = mine.groupby(sweep.setting)["step_time_s"].median() * 1e3
        axes.plot(middles.index, middles, color=look.colour, linewidth=1.3, zorder=2)
        marks(axes, mine[sweep.setting], mine["step_time_s"] * 1e3, look, size=5, zorder=3)
    values = sorted(frame[sweep.setting].unique())
    low, high = float(frame["step_time_s"].min()) * 1e3, float(frame["step_time_s"].max()) * 1e3
    start = low
    while start < high:  # lines of slope 1, a factor of four apart
        ends = [start, start * values[-1] / values[0]]
        axes.plot([values[0], values[-1]], ends, color=style.FAINT, linewidth=0.9, zorder=1)
        start *= 4
    axes.set_ylim(0.8 * low, 1.25 * high)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_xlabel(NAMES[sweep.setting])
    axes.set_ylabel("step time, ms")
    legend(drawn, entries, columns)
    first = next(iter(sweep.contests.values()))
    subject = f"{label(sweep.workload, 40)} on {label(sweep.device)}: step time by {NAMES[sweep.setting]}"
    heading(drawn, subject, first.spec.data.identity, "a marker per block, lines through their medians")
    return drawn
