"""The report of a fleet's run: classes of machines side by side, each with its own verdicts and its own noise.

Every class has a whole report of its own, which this one links to; nothing is computed over classes. What has become of
the machines, and what was lost with them, stands here too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from bench import catalogue, handover, record, report, wording
from bench.compare.differences import gpu_names
from bench.errors import UsageError
from bench.fleet.record import FILE, Fleet, Loss
from bench.report import frames, page, style, summary, verdicts
from bench.report.contest import ArmSummary, Contest
from bench.report.figures import Drawing, slug
from bench.report.folder import Folder, load
from bench.report.headline import alike, headline
from bench.report.markdown import short, table, text
from bench.report.style import WIDTH_IN, label
from bench.stats import Spread
from bench.wording import number

APART = (
    "Results of different classes of machines are never pooled: a time, a ratio, a verdict and the noise are those of "
    "one class. Within a class, all arms of a block ran on one machine."
)


@dataclass(frozen=True)
class OfClass:
    """One class of machines and what was measured on it."""

    id: str
    about: Mapping[str, Any]
    folder: Folder
    contests: Mapping[tuple[str, str], Contest]
    """By workload and device."""
    doubts: Sequence[str]
    """What asks for caution, in a few words each."""


def build(folder: Path) -> list[Path]:
    """Writes the report of every class into its own folder, and report.md, report.html and figures of the fleet here.

    Raises a UsageError where `fleet.json` or the record of a class's run cannot be used.
    """
    fleet = record.read(folder / FILE, Fleet)
    built = [path for name in _measured(folder, fleet) for path in report.build(folder / name)]
    classes = [_of_class(folder, fleet, name) for name in _measured(folder, fleet)]
    drawings = {key: _drawing(key, classes) for key in _keys(classes)}
    blocks = _blocks(fleet, classes, {key: drawing for key, drawing in drawings.items() if drawing})
    title = f"Fleet {short(fleet.id)}"
    facts = _facts(fleet, classes)
    by_path = {drawing.path: drawing for drawing in drawings.values() if drawing}
    files = {"report.md": ("\n\n".join([f"# {title}", facts, *blocks]) + "\n").encode()}
    files["report.html"] = page.document(title, blocks, by_path, [facts])
    for drawing in by_path.values():
        files |= {drawing.path: drawing.svg, drawing.csv_path: drawing.csv}
    return [*_write(folder, files), *built]


def _measured(folder: Path, fleet: Fleet) -> list[str]:
    return [name for name in fleet.classes if (folder / name / "run.json").exists()]


def _of_class(folder: Path, fleet: Fleet, name: str) -> OfClass:
    found = load(folder / name)
    contests = summary.contests(found, frames.measurements(found), frames.curves(found))
    by_key = {(contest.workload, contest.device): contest for contest in contests}
    doubts = handover.doubts(found.run, found.everything, folder / name)
    return OfClass(name, fleet.classes[name], found, by_key, doubts)


def _keys(classes: Sequence[OfClass]) -> list[tuple[str, str]]:
    """Workload and device of everything that some class has measured."""
    return list(dict.fromkeys(key for each in classes for key in each.contests))


def _facts(fleet: Fleet, classes: Sequence[OfClass]) -> str:
    ended = f"; ended {text(fleet.finished)}" if fleet.finished else ""
    because = f" ({text(fleet.ended_because)})" if fleet.ended_because else ""
    measured = [{cell.machine for cell in each.folder.cells if cell.wall_s} for each in classes]
    machines, counted = len(set().union(*measured)), sum(map(bool, measured))
    return (
        f"{_count(machines, 'machine')} measured, in {_count(counted, 'class', 'classes')}; started "
        f"{text(fleet.started)}{ended}{because}. {APART}"
    )


def _blocks(fleet: Fleet, classes: Sequence[OfClass], drawings: Mapping[tuple[str, str], Drawing]) -> list[str]:
    warnings = [*_warnings(fleet, classes)]
    blocks = ["## Read this first", "\n".join(f"- {line}" for line in warnings)] if warnings else []
    for key in _keys(classes):
        blocks += _side_by_side(key, classes, drawings.get(key))
    blocks += ["## Classes of machines", _class_table(fleet, classes)]
    blocks += ["## Machines", _machine_table(fleet, classes)]
    if fleet.losses:
        blocks += ["## Lost on the way", _loss_table(fleet.losses)]
    return blocks


def _warnings(fleet: Fleet, classes: Sequence[OfClass]) -> Iterator[str]:
    for name, machine in fleet.machines.items():
        if machine.state != "took part" and machine.reason:
            yield f"{short(name)}: {text(machine.state)}: {text(machine.reason)}"
    for name in fleet.classes:
        if name not in {each.id for each in classes}:
            yield f"class {short(name)} has measured nothing"
    for each in classes:
        if each.folder.run.finished is None:
            because = text(each.folder.run.ended_because or "interrupted")
            yield f"class {short(each.id)} has not ended its run: {because}"
        if each.doubts:
            yield f"class {_linked(each.id)}: {text('; '.join(each.doubts))}"
    if fleet.losses:
        spent_s = sum(loss.spent_s for loss in fleet.losses)
        lost = _count(len(fleet.losses), "cell")
        yield f"{lost} lost with a machine, after {number(spent_s)} s in all"
    for each in classes:
        for (block, workload), names in _machines_of_blocks(each).items():
            if len(names) > 1:
                where = short(", ".join(names))
                yield f"class {short(each.id)}, block {block} of {short(workload)}: on {where}: do not trust it"


def _machines_of_blocks(each: OfClass) -> dict[tuple[int, str], list[str]]:
    """By what is paired, block and workload: the machines that measured cells of it."""
    found: dict[catalogue.Unit, list[str]] = {}
    for cell in each.folder.cells:
        names = found.setdefault(catalogue.unit(cell), [])
        if cell.wall_s and cell.machine not in names:
            names.append(cell.machine)
    return found


def _side_by_side(key: tuple[str, str], classes: Sequence[OfClass], drawing: Drawing | None) -> list[str]:
    """One workload on one device: the verdict of every class, then the arms' times with a column for each class."""
    with_it, time = [each for each in classes if key in each.contests], _time(key, classes)
    lines = []
    for each in with_it:
        contest = each.contests[key]
        parts = [headline(contest) or "No arm has a step time.", f"{alike(contest, each.folder.parities).text}."]
        noise = verdicts.noise_line(contest, time.phase(contest))
        lines.append(f"- {_linked(each.id)}: {' '.join(parts)}" + (f" {noise}" if noise else ""))
    arms = dict.fromkeys(arm.arm for each in with_it for arm in each.contests[key].arms)
    rows = [[short(arm), *(_figure(each.contests[key], arm, time) for each in with_it)] for arm in arms]
    blocks = [f"## {short(key[0])} on {short(key[1])}", "\n".join(lines)]
    if drawing:
        blocks.append(f"![{drawing.what}]({drawing.path})")
    note = (
        f"{time.name.capitalize()} time: median of block medians; behind it the time over that of the class's fastest "
        "arm, with its 95\N{NO-BREAK SPACE}% interval, and the number of blocks."
    )
    return [*blocks, table(["arm", *(short(each.id) for each in with_it)], rows), note]


@dataclass(frozen=True)
class Time:
    """What the arms of a contest are compared by."""

    name: str
    unit: str
    factor: float
    """Seconds times this are in the unit."""

    def phase(self, contest: Contest) -> str:
        """Where it comes from."""
        return "train_step" if self.name == "step" else contest.epoch_phase

    def of(self, arm: ArmSummary) -> Spread | None:
        """Of one arm, in seconds."""
        return arm.step_s if self.name == "step" else arm.epoch_s


def _time(key: tuple[str, str], classes: Sequence[OfClass]) -> Time:
    """Steps, or epochs where no class has timed steps: whole trainings."""
    stepped = any(each.contests[key].ranked for each in classes if key in each.contests)
    return Time("step", "ms", 1e3) if stepped else Time("epoch", "s", 1)


def _figure(contest: Contest, name: str, time: Time) -> str:
    arm = next((arm for arm in contest.arms if arm.arm == name), None)
    if arm is None or (spread := time.of(arm)) is None:
        return "-" if arm is None or not arm.unmeasured else f"- ({text(arm.unmeasured, 60)})"
    phase = time.phase(contest)
    beside = verdicts.beside_fastest(contest, phase).get(name)
    ratio = (
        f"\N{MULTIPLICATION SIGN}{wording.ratio(beside.effect)}"
        if beside
        else "fastest"
        if arm is (contest.ranked if phase == "train_step" else contest.trained)[0]
        else "no block in common"
    )
    return f"{number(spread.median * time.factor)} {time.unit}, {ratio}, {verdicts.blocks(spread.blocks)}"


def _class_table(fleet: Fleet, classes: Sequence[OfClass]) -> str:
    rows = []
    for each in classes:
        members = [name for name, machine in fleet.machines.items() if machine.machine_class == each.id]
        gpus = ", ".join(map(str, gpu_names(each.folder.run) or ())) or "none"
        cells = each.folder.everything
        rows.append(
            [
                _linked(each.id),
                text(each.about.get("cpu") or "unknown"),
                text(each.about.get("cpu_budget")),
                text(gpus),
                short(", ".join(members)),
                f"{sum(cell.status == 'ok' for cell in cells)} of {len(each.folder.run.plan)}",
                text(", ".join(map(str, _listed(each.about.get("holes")))) or "none"),
            ]
        )
    return table(["class", "processor", "cores", "GPU", "machines", "cells measured", "arms that cannot run"], rows)


def _listed(value: object) -> list[object]:
    """What should be a list, in a file that anyone may have written."""
    return value if isinstance(value, list) else []


def _machine_table(fleet: Fleet, classes: Sequence[OfClass]) -> str:
    cells = [cell for each in classes for cell in each.folder.everything]
    rows = []
    for name, machine in fleet.machines.items():
        memory = machine.environment.get("memory_bytes")
        rows.append(
            [
                short(name),
                short(machine.machine_class or "-"),
                text(machine.state),
                str(sum(cell.machine == name for cell in cells)),
                number(sum(cell.wall_s for cell in cells if cell.machine == name)),
                f"{memory / 2**30:.1f} GiB" if isinstance(memory, int) else "-",
                text(machine.environment.get("kernel") or "-"),
            ]
        )
    return table(["machine", "class", "what became of it", "cells", "measured s", "memory", "kernel"], rows)


def _loss_table(losses: Sequence[Loss]) -> str:
    rows = [
        [short(loss.machine), short(loss.cell), text(loss.at), number(loss.spent_s), text(loss.reason)]
        for loss in losses
    ]
    return table(["machine", "cell", "at", "spent s", "why"], rows)


def _drawing(key: tuple[str, str], classes: Sequence[OfClass]) -> Drawing | None:
    """Step or epoch time of every arm on every class; None where there is none."""
    time = _time(key, classes)
    frame = _data(key, classes, time)
    if frame.empty:
        return None
    with style.context():
        svg = style.svg(_draw(key, frame, time))
    name = f"classes-{slug(key[0])}-{slug(key[1])}"
    what = f"{time.name} time of every arm on every class: {label(key[0])} on {label(key[1])}"
    return Drawing(name, what, f"figures/{name}.svg", svg, frames.to_csv(frame))


def _data(key: tuple[str, str], classes: Sequence[OfClass], time: Time) -> pd.DataFrame:
    """Columns arm, class, blocks, and the median, smallest and largest of the blocks' medians, named by their unit."""
    columns = [f"{time.name}_{time.unit}", f"low_{time.unit}", f"high_{time.unit}"]
    rows = []
    for each in classes:
        arms: Sequence[ArmSummary] = each.contests[key].arms if key in each.contests else ()
        rows += [
            (arm.arm, each.id, spread.blocks, *(s * time.factor for s in (spread.median, spread.low, spread.high)))
            for arm in arms
            if (spread := time.of(arm))
        ]
    return pd.DataFrame(rows, columns=["arm", "class", "blocks", *columns])


def _draw(key: tuple[str, str], frame: pd.DataFrame, time: Time) -> Figure:
    """Arms below each other, the classes of each together; times on a logarithmic axis."""
    arms, classes = list(dict.fromkeys(frame["arm"])), list(dict.fromkeys(frame["class"]))
    looks = style.looks(arms)
    above, below, row = 0.78, 0.5, 0.3
    height = above + below + row * (len(frame) + 0.6 * len(arms))
    drawn = Figure(figsize=(WIDTH_IN, height))
    axes = drawn.add_axes((0.42, below / height, 0.46, 1 - (above + below) / height))
    y, ticks, names = 0.0, [], []
    for arm in arms:
        axes.text(-0.9, y, label(arm), transform=axes.get_yaxis_transform(), fontweight="bold", va="center")
        for name in classes:
            mine = frame[(frame["arm"] == arm) & (frame["class"] == name)]
            for *_, median, low, high in mine.itertuples(index=False):
                axes.plot([low, high], [y, y], color=looks[arm].colour, linewidth=1.6)
                style.marks(axes, [median], [y], looks[arm], size=7, zorder=3)
                note = f"{number(median)} {time.unit}"
                axes.text(1.02, y, note, transform=axes.get_yaxis_transform(), va="center")
                ticks.append(y)
                names.append(label(name, 34))
                y += 1
        y += 0.6
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_ylim(y - 1, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{time.name} time in {time.unit}, logarithmic: median and range of the blocks")
    axes.grid(axis="x")
    title = f"{label(key[0])} on {label(key[1])}: {time.name} time by class of machines"
    drawn.text(0.012, 1 - 0.1 / height, title, fontsize=11.5, fontweight="bold", va="top")
    drawn.text(
        0.012,
        1 - 0.34 / height,
        "nothing is pooled over classes; compare arms within one",
        fontsize=9,
        color="#555555",
        va="top",
    )
    return drawn


def _linked(class_id: str) -> str:
    return f"[{short(class_id)}]({quote(class_id)}/report.html)"


def _count(number_: int, one: str, many: str | None = None) -> str:
    return f"{number_} {one if number_ == 1 else many or one + 's'}"


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    try:
        (folder / "figures").mkdir(exist_ok=True)
        for name, content in files.items():
            record.write_bytes(folder / name, content)
    except OSError as error:
        raise UsageError(
            f"{folder}: the report cannot be written there ({error.strerror}); free it or copy it"
        ) from error
    return [folder / name for name in sorted(files)]
