"""What each arm used of the machine: memory, energy, its share of the ceiling, and the cause in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench import derived, record, stats
from bench.cause import Evidence, cause
from bench.report.contest import ArmSummary, Contest
from bench.report.markdown import short, table, text
from bench.wording import number

MIB = 2**20
STEPS = ("train_step", "small_step")
DISTURBED = "with caution: most rounds behind it were disturbed"


@dataclass(frozen=True)
class Ceiling:
    """How fast a framework multiplies matrices, by its best round."""

    arm: str
    """Whose cell measured it."""
    size: int
    flops_per_s: float


def ceiling(contest: Contest, arm: str) -> Ceiling | None:
    """That of the arm's framework; None where it was not measured: in another precision, or on several devices."""
    if contest.spec.precision != "float32" or contest.spec.devices > 1:
        return None
    frameworks = {name: found.framework for name, found in contest.run.arms.items()}
    found = [made for cell in contest.ceilings if frameworks[cell.arm] == frameworks[arm] for made in _ceilings(cell)]
    return max(found, key=lambda made: made.flops_per_s, default=None)


def _ceilings(cell: record.Cell) -> list[Ceiling]:
    extras = [entry["extra_info"] for entry in cell.pytest_benchmark.get("benchmarks", ())]
    return [
        Ceiling(cell.arm, extra["size"], extra["flops"] / min(phase.rounds_s))
        for phase, extra in zip(derived.phases(cell).values(), extras, strict=False)
        if phase.name == record.CEILING and {"size", "flops"} <= extra.keys() and phase.rounds_s
    ]


def resources(contest: Contest) -> list[str]:
    """Markdown blocks; none where nothing was measured."""
    arms = [arm for arm in contest.arms if contest.cells_of(arm.arm)]
    if not arms:
        return []
    by_arm = {arm.arm: contest.cells_of(arm.arm) for arm in arms}
    sources = _sources(by_arm.values())
    process = any(cell.device_process_peak_memory_bytes for cells in by_arm.values() for cell in cells)
    gpu = process or any(cell.device_peak_memory_bytes for cells in by_arm.values() for cell in cells)
    header = ["arm", "host peak MiB"] + (["device peak MiB, allocator", "process"] if gpu else [])
    header += [f"J/step{_number(place, sources)}" for place, _ in enumerate(sources)] or ["J/step"]
    header += ["GFLOP/s", "ceiling GFLOP/s", "share"]
    rows = [[short(arm.arm), *_memory(by_arm[arm.arm], gpu)] for arm in arms]
    for row, arm in zip(rows, arms, strict=True):
        row += _energies(by_arm[arm.arm], sources) + _flops(contest, arm)
    blocks = [table(header, rows), _note(contest, gpu, sources)]
    return [*blocks, *_unavailable(by_arm), *_causes(contest, arms)]


def _memory(cells: Sequence[record.Cell], gpu: bool) -> list[str]:
    peaks = [[cell.peak_memory_bytes for cell in cells]]
    if gpu:
        peaks.append([cell.device_peak_memory_bytes for cell in cells])
        peaks.append([cell.device_process_peak_memory_bytes for cell in cells])
    return [number(max(known) / MIB) if (known := [size for size in sizes if size]) else "-" for sizes in peaks]


def _sources(cells: Iterable[Sequence[record.Cell]]) -> list[str]:
    """The counters that told anything."""
    told = (entry for mine in cells for cell in mine for entry in cell.energy if entry.joules is not None)
    return list(dict.fromkeys(entry.source for entry in told))


def _energies(cells: Sequence[record.Cell], sources: Sequence[str]) -> list[str]:
    found = []
    for source in sources or [""]:
        steps = [
            entry.joules / entry.steps
            for cell in cells
            for entry in cell.energy
            if entry.source == source and entry.joules is not None and entry.steps
        ]
        found.append(number(stats.median(steps)) if steps else "unavailable")
    return found


def _flops(contest: Contest, arm: ArmSummary) -> list[str]:
    made = ceiling(contest, arm.arm)
    most = number(made.flops_per_s / 1e9) if made else "-"
    if arm.step_s is None or arm.arm in record.tuned(contest.run):
        return ["-", most, "-"]
    reached = contest.spec.flops_per_step / arm.step_s.median
    return [number(reached / 1e9), most, f"{number(100 * reached / made.flops_per_s, 2)} %" if made else "-"]


def _note(contest: Contest, gpu: bool, sources: Sequence[str]) -> str:
    parts = ["Host peak: most memory the process held resident, by the kernel's count, the largest of all cells"]
    if gpu:
        parts.append(
            "device peak: by the framework's allocator, and by the driver's count for the process, read between rounds"
        )
    parts += [
        f"J/step{_number(place, sources)}: {text(source)}, difference over the rounds of train_step, whatever else "
        "the machine did included, median of the cells"
        for place, source in enumerate(sources)
    ]
    parts.append(
        f"GFLOP/s: {contest.spec.flops_per_step:,} FLOPs a step by analytic count, over the median step time"
        + ("; a tuned arm leaves out some of them" if record.tuned(contest.run) else "")
    )
    made = {found for name in contest.run.arms if (found := ceiling(contest, name))}
    sizes = ", ".join(
        f"{short(contest.run.arms[found.arm].framework)} {found.size:,} x {found.size:,}"
        for found in sorted(made, key=lambda found: found.arm)
    )
    if made:
        parts.append(
            f"ceiling: the same framework's float32 matrix product in a cell of its own, best round at its best size "
            f"({sizes})"
        )
    return f"{'; '.join(parts)}."


def _number(place: int, sources: Sequence[str]) -> str:
    return f" ({place + 1})" if len(sources) > 1 else ""


def _unavailable(by_arm: dict[str, list[record.Cell]]) -> list[str]:
    """Why energy was not read, each reason once."""
    arms: dict[tuple[str, str], list[str]] = {}
    for arm, cells in by_arm.items():
        for key in dict.fromkeys(
            (entry.source, entry.reason or "no reason was given")
            for cell in cells
            for entry in cell.energy
            if entry.joules is None
        ):
            arms.setdefault(key, []).append(arm)
    if not arms and not any(cell.energy for cells in by_arm.values() for cell in cells):
        return ["Energy unavailable: these records hold no reading of it."]
    return [
        f"Energy unavailable ({'all arms' if len(names) == len(by_arm) else ', '.join(map(short, names))}): "
        f"{text(source)}: {text(reason)}."
        for (source, reason), names in arms.items()
    ]


def _causes(contest: Contest, arms: Sequence[ArmSummary]) -> list[str]:
    lines = []
    for arm in arms:
        if arm.arm in record.tuned(contest.run):
            continue  # how much arithmetic it does is not known from the layers
        telling = _telling(contest, arm)
        evidence = _evidence(contest, arm, telling)
        if evidence is not None:
            made = cause(evidence)
            cells = [telling] if telling else contest.cells_of(arm.arm)
            caution = f", {DISTURBED}" if _disturbed(contest, cells) else ""
            lines.append(f"- {short(arm.arm)}: **{made.kind}**{caution}. {text(made.sentence)}")
    if not lines:
        return []
    return [
        "Why a step takes as long as it does, from the first block's process alone where it measured a small step, so "
        "that its figures may differ a little from those above:",
        "\n".join(lines),
    ]


def _telling(contest: Contest, arm: ArmSummary) -> record.Cell | None:
    """One process with a small step, if there is one: a drift between two would look like a fixed cost."""
    for cell in contest.cells_of(arm.arm):
        found = derived.phases(cell)
        if all(name in found and found[name].counted_s for name in STEPS):
            return cell
    return None


def _disturbed(contest: Contest, cells: Sequence[record.Cell]) -> bool:
    """Whether some of what the cause is made from counts although most of it was disturbed."""
    phases = (derived.phases(cell).get(name) for cell in cells for name in (*STEPS, contest.epoch_phase))
    return any(phase is not None and phase.mostly_tainted for phase in phases)


def _evidence(contest: Contest, arm: ArmSummary, telling: record.Cell | None) -> Evidence | None:
    made = ceiling(contest, arm.arm)
    most = made.flops_per_s if made else None
    if telling:
        found = derived.phases(telling)
        own, small = (found[name] for name in STEPS)
        epoch = found.get(contest.epoch_phase)
        return Evidence(
            _step_s(own),
            contest.spec.flops_per_step,
            most,
            _step_s(small),
            small.samples_per_round / small.steps_per_round / (own.samples_per_round / own.steps_per_round),
            _step_s(epoch) if epoch and epoch.counted_s else None,
        )
    if arm.step_s is None:
        return None
    epoch_step_s = arm.epoch_s.median / arm.epoch_steps if arm.epoch_s and arm.epoch_steps else None
    return Evidence(arm.step_s.median, contest.spec.flops_per_step, most, epoch_step_s=epoch_step_s)


def _step_s(phase: derived.Phase) -> float:
    return stats.median(phase.counted_s) / phase.steps_per_round
