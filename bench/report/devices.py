"""What several devices bring: one workload trained on one device and on more, by each arm's own engine.

**Speedup** is the ratio of samples per second to those on one device, **efficiency** the speedup divided by the number
of devices. Batches shared out (strong scaling) are the same training in less time; a whole batch for each device (weak
scaling) is another training, with larger batches. Intervals are those of the ratio of step times over the blocks that
both have. **Communication** is the share of a step that it takes longer than one in which no gradient leaves its
device. Both end when the slowest device is done, so that waiting for it is not in the difference.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from bench import effects
from bench.derived import LOCAL
from bench.effects import Effect
from bench.judgement import equivalence
from bench.judgement.equivalence import Equivalence
from bench.judgement.trainings import Training
from bench.record import Parity
from bench.report import figures, style
from bench.report.captions import fitting, heading, legend
from bench.report.contest import Contest
from bench.report.figures import Drawing
from bench.report.frames import to_csv
from bench.report.judgement_read import Judged
from bench.report.judgement_words import estimate
from bench.report.markdown import short, table, text, visible
from bench.report.style import WIDTH_IN, Look, label, marks
from bench.stats import median
from bench.wording import number, ratio

KIND = "devices"
"""What its files' names begin with."""
STRONG, WEAK = "each batch shared out", "a whole batch for each device"
NOTE = (
    "Speedup: samples per second against the same arm on one device; efficiency: the speedup over the number of "
    "devices, with its 95 % interval from the blocks that both have. Communication: by how much of a step it is longer "
    "than one in which no gradient leaves its device; both end when the slowest device is done. Gradient: the largest "
    "error against the reference in float64, max|a-b| / max|b| over all weights, of keras-tensorflow before its own "
    "exchange, which the weights after 20 steps prove; masks and order of samples are those of the whole batch. "
    "Elsewhere in this report, memory of an arm with a process for each device is the sum of their peaks, in which "
    "pages that they share count each time; of device memory, PyTorch's peak is the first device's and the driver's "
    "that of all; a first step waits for the slowest process to start; epochs hold what an engine does around its "
    "steps as well."
)


@dataclass(frozen=True)
class Family:
    """One workload on several numbers of devices."""

    workload: str
    """Its key on one device."""
    device: str
    alone: Contest
    strong: Mapping[int, Contest]
    """By the number of devices, the smallest first; more than one."""
    weak: Mapping[int, Contest]

    @property
    def arms(self) -> list[str]:
        """In the order of the run."""
        return list(self.alone.run.arms)


@dataclass(frozen=True)
class Gain:
    """What so many devices bring one arm."""

    arm: str
    devices: int
    scaling: str
    contest: Contest
    blocks: Mapping[int, float]
    """Step time, s, by block."""
    speedup: Effect | None
    """None: there is no block on one device beside it."""
    communication: Effect | None
    """Share of a step."""

    @property
    def efficiency(self) -> Effect | None:
        """Speedup over the number of devices."""
        return None if self.speedup is None else _times(self.speedup, 1 / self.devices)


def families(contests: Iterable[Contest]) -> list[Family]:
    """Every workload that stands in the run on one device and on more."""
    groups: dict[tuple[str, str], list[Contest]] = {}
    for contest in contests:
        groups.setdefault((_model(contest.workload), contest.device), []).append(contest)
    found = []
    for (_, device), members in groups.items():
        more = sorted((each for each in members if each.spec.devices > 1), key=lambda each: each.spec.devices)
        for alone in (each for each in members if each.spec.devices == 1):
            size = alone.spec.batch_size
            strong = {each.spec.devices: each for each in more if each.spec.batch_size == size}
            weak = {each.spec.devices: each for each in more if each.spec.batch_size == size * each.spec.devices}
            if strong or weak:
                found.append(Family(alone.workload, device, alone, strong, weak))
    return found


def _model(key: str) -> str:
    """The key without batch and devices, which are compared by their numbers."""
    name, *settings = key.split(".")
    return ".".join([name, *(each for each in settings if not each.startswith(("devices-", "batch-")))])


def gains(family: Family, arm: str) -> list[Gain]:
    """Of everything that was measured of the arm on several devices."""
    found = []
    alone = family.alone.figures("train_step").get(arm, {})
    for scaling, contests in ((STRONG, family.strong), (WEAK, family.weak)):
        for devices, contest in contests.items():
            if not (blocks := contest.figures("train_step").get(arm, {})):
                continue
            faster = effects.effect(alone, blocks)
            local = effects.effect(contest.figures(LOCAL).get(arm, {}), blocks)
            larger = devices if scaling == WEAK else 1
            speedup = None if faster is None else _times(faster, larger)
            found.append(Gain(arm, devices, scaling, contest, blocks, speedup, local and _rest(local)))
    return found


def _times(effect: Effect, factor: float) -> Effect:
    return replace(effect, ratio=factor * effect.ratio, low=factor * effect.low, high=factor * effect.high)


def _rest(effect: Effect) -> Effect:
    """1 minus it; of one block there is no interval either way."""
    ends = (-math.inf, math.inf) if math.isinf(effect.high) else (1 - effect.high, 1 - effect.low)
    return replace(effect, ratio=1 - effect.ratio, low=ends[0], high=ends[1])


def blocks(
    found: Sequence[Family], drawings: Mapping[str, Drawing], parities: Sequence[Parity], judged: Judged | None
) -> list[str]:
    """Blocks of Markdown; none without several devices."""
    if not found:
        return []
    lines = ["## Several devices", NOTE]
    for family in found:
        lines.append(f"### {short(family.workload)} on {short(family.device)}")
        lines.append(_share(family))
        path = _path(family)
        if path in drawings:
            lines.append(f"![{text(drawings[path].what)}]({path})")
        rows = [row for arm in family.arms for row in _rows(family, arm, parities)]
        header = ["arm", "devices", "batch", "step ms", "speedup", "efficiency", "communication", "gradient"]
        lines += [table(header, rows)] if rows else []
        lines += _learning(family, judged)
    return lines


def _share(family: Family) -> str:
    """What a device is."""
    if family.device != "cpu":
        return "A device is a GPU; every process or replica has its own."
    threads = {cell.threads for cell in family.alone.cells}
    (count,) = threads if len(threads) == 1 else (None,)
    part = f"{count} CPU thread{'' if count == 1 else 's'}" if count else "an equal part of the CPU threads"
    return f"A device is {part}; all devices share the processor's memory and caches, as on no cluster of GPUs."


def _rows(family: Family, arm: str, parities: Sequence[Parity]) -> list[list[str]]:
    rows = []
    if alone := family.alone.figures("train_step").get(arm):
        gradient = _gradient(family.alone, arm, parities)
        batch, step = str(family.alone.spec.batch_size), number(median(list(alone.values())) * 1e3)
        rows.append([short(arm), "1", batch, step, "1", "1", "-", gradient])
    for gain in gains(family, arm):
        cells = [
            short(arm),
            str(gain.devices),
            f"{gain.contest.spec.batch_size}, {gain.scaling}",
            number(median(list(gain.blocks.values())) * 1e3),
            ratio(gain.speedup) if gain.speedup else "-",
            ratio(gain.efficiency) if gain.efficiency else "-",
            _percent(gain.communication),
            _gradient(gain.contest, arm, parities),
        ]
        rows.append(cells)
    for scaling, contests in ((STRONG, family.strong), (WEAK, family.weak)):
        for devices, contest in contests.items():
            # without a step time, but with epochs: it trained whole schedules, of which `_learning` tells
            untimed = (each for each in contest.arms if each.arm == arm and each.epoch_s is None)
            reason = next((each.unmeasured for each in untimed), None)
            if reason is not None:
                batch = f"{contest.spec.batch_size}, {scaling}"
                rows.append([short(arm), str(devices), batch, f"- ({text(reason)})", "-", "-", "-", "-"])
    return rows


def _percent(effect: Effect | None) -> str:
    if effect is None:
        return "-"
    if math.isinf(effect.high):
        return f"{100 * effect.ratio:.0f} % (no interval)"
    return f"{100 * effect.ratio:.0f} % [{100 * effect.low:.0f}, {100 * effect.high:.0f}]"


def _gradient(contest: Contest, arm: str, parities: Sequence[Parity]) -> str:
    """The largest error of any gradient in float64 of the parity record."""
    errors = [
        math.inf if check.error is None else check.error
        for parity in parities
        if (parity.workload, parity.arm, parity.device) == (contest.workload, arm, contest.device)
        for check in parity.checks
        if check.precision == "float64" and check.quantity.startswith("gradient ")
    ]
    return number(max(errors), 2) if errors else "-"


def learning(family: Family, judged: Judged | None) -> dict[tuple[str, int], Equivalence]:
    """By arm and number of devices: its trainings against those on one device, from the same seeds."""
    if judged is None:
        return {}
    by_workload: dict[tuple[str, str], dict[int, Training]] = {}
    for training in judged.trainings:
        by_workload.setdefault((training.workload, training.arm), {})[training.seed] = training
    found: dict[tuple[str, int], Equivalence] = {}
    if (quality := family.alone.spec.quality) is None:
        return found
    for devices, contest in family.strong.items():
        for arm in family.arms:
            more, one = (by_workload.get((each.workload, arm), {}) for each in (contest, family.alone))
            if more.keys() & one.keys():
                found[arm, devices] = equivalence.judge(more, one, quality.margin)
    return found


def _learning(family: Family, judged: Judged | None) -> list[str]:
    found = learning(family, judged)
    if not found:
        return []
    rows = [
        [short(arm), str(devices), f"**{each.verdict}**", estimate(each.estimate), f"{each.margin:g}",
         text(each.metric), str(len(each.differences))]
        for (arm, devices), each in found.items()
    ]  # fmt: skip
    note = "Whole trainings on several devices against those on one, from the same seeds, as under Convergence:"
    header = ["arm", "devices", "verdict", "better by, 90 % interval", "margin", "metric", "seeds"]
    return [note, table(header, rows, left=3)]


def drawings(found: Iterable[Family], arms: Iterable[str]) -> dict[str, Drawing]:
    """A figure of each family by its path; `arms` are all of the run, for their colours."""
    looks, drawn = style.looks(arms), {}
    with style.context():
        for family in found:
            frame = data(family)
            if not frame.empty:
                what = f"{family.workload} on {family.device}: speedup by the number of devices"
                path = _path(family)
                drawn[path] = Drawing(KIND, visible(what), path, style.svg(draw(family, frame, looks)), to_csv(frame))
    return drawn


def _path(family: Family) -> str:
    return f"figures/{KIND}-{figures.slug(family.workload)}-{figures.slug(family.device)}.svg"


def data(family: Family) -> pd.DataFrame:
    """Columns: arm, scaling, devices, blocks, speedup and the ends of its interval (empty where there is none)."""
    rows = [
        (gain.arm, gain.scaling, gain.devices, gain.speedup.blocks, gain.speedup.ratio, *_ends(gain.speedup))
        for arm in family.arms
        for gain in gains(family, arm)
        if gain.speedup
    ]
    return pd.DataFrame(rows, columns=["arm", "scaling", "devices", "blocks", "speedup", "low", "high"])


def _ends(effect: Effect) -> tuple[float | None, float | None]:
    return (None, None) if math.isinf(effect.high) else (effect.low, effect.high)


def draw(family: Family, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """A panel for each kind of scaling; a line per arm through its speedups, with intervals; in grey, ideal scaling."""
    arms = list(dict.fromkeys(map(str, frame["arm"])))
    entries = [
        *(Line2D([], [], color=looks[arm].colour, marker=looks[arm].marker, label=label(arm)) for arm in arms),
        Line2D([], [], color=style.FAINT, linewidth=1.4, label="as many times as fast as there are devices"),
    ]
    columns, lines = fitting(entries)
    top, panel, bottom = 0.95, 2.9, 0.62 + lines
    height = top + panel + bottom
    drawn = Figure(figsize=(WIDTH_IN, height))
    kinds = [kind for kind in (STRONG, WEAK) if (frame["scaling"] == kind).any()]
    most, least = int(frame["devices"].max()), float(frame[["speedup", "low"]].min().min())
    for place, kind in enumerate(kinds):
        axes = drawn.add_axes((0.085 + 0.48 * place, bottom / height, 0.415, panel / height))
        _panel(axes, frame[frame["scaling"] == kind], looks)
        axes.set_ylim(min(0.9, 0.9 * least), 1.15 * max(most, float(frame[["speedup", "high"]].max().max())))
        axes.set_title(kind, fontsize=9.5, loc="left")
        axes.set_xlabel("devices")
        if not place:
            axes.set_ylabel("speedup over one device")
    legend(drawn, entries, columns)
    subject = f"{label(family.workload, 40)} on {label(family.device)}: speedup by the number of devices"
    heading(drawn, subject, family.alone.spec.data.identity, "samples per second against one device, 95 % intervals")
    return drawn


def _panel(axes: Axes, frame: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    counts = [1, *sorted(map(int, frame["devices"].unique()))]
    axes.plot([1, counts[-1]], [1, counts[-1]], color=style.FAINT, linewidth=1.4, zorder=1)
    names = list(dict.fromkeys(map(str, frame["arm"])))
    for place, arm in enumerate(names):
        mine, look = frame[frame["arm"] == arm], looks[arm]
        beside = 2 ** (0.05 * (place - (len(names) - 1) / 2))  # so that intervals do not hide each other
        x = [1.0, *(count * beside for count in mine["devices"])]
        axes.plot(x, [1.0, *mine["speedup"]], color=look.colour, linewidth=1.3, zorder=2)
        whole = mine.dropna(subset=["low", "high"])
        axes.vlines(whole["devices"] * beside, whole["low"], whole["high"], color=look.colour, linewidth=1.6, zorder=2)
        marks(axes, x[1:], list(mine["speedup"]), look, size=6, zorder=3)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_locator(FixedLocator([2.0**power for power in range(-4, 11)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
