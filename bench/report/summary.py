"""From rounds to figures: what each contestant did on one workload and device, by the definitions of `bench.stats`."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from bench import derived, record, stats
from bench.derived import STRIKES
from bench.report import ledger
from bench.report.contest import ArmSummary, Contest, by_block, epoch_phase
from bench.report.folder import Folder


def contests(folder: Folder, measurements: pd.DataFrame, curves: pd.DataFrame) -> list[Contest]:
    """One summary per workload and device of the run, arms in the run's order."""
    run, found = folder.run, []
    measurements, curves = _with_contestant(measurements), _with_contestant(curves)
    for workload, device in folder.contests():
        rows = measurements[(measurements["workload"] == workload) & (measurements["device"] == device)]
        points = curves[(curves["workload"] == workload) & (curves["device"] == device) & (curves["status"] == "ok")]
        rounds = rows[(rows["status"] == "ok") & rows["round"].notna()]
        cells = tuple(
            cell for cell in folder.cells if (cell.workload, cell.device, cell.status) == (workload, device, "ok")
        )
        arms = [_summarise(folder, arm, "", cells, rows, rounds, points) for arm in run.arms]
        again = run.control in run.arms and _summarise(folder, run.control, record.CONTROL, cells, rows, rounds, points)
        found.append(
            Contest(
                workload,
                device,
                run,
                run.workloads[workload],
                arms=tuple(arms),
                control=again if again and (again.step_s or again.epoch_s) else None,
                given_up=tuple(arm for arm in run.arms if _given_up(folder, workload, device, arm)),
                cells=cells,
                ceilings=tuple(cell for cell in folder.ceilings if (cell.device, cell.status) == (device, "ok")),
                rounds=rounds,
                points=points,
            )
        )
    return found


def _given_up(folder: Folder, workload: str, device: str, arm: str) -> bool:
    """Whether no further block tried the arm, whose two entries in the A/A control fail and succeed together."""
    key = workload, device, arm
    if any((parity.workload, parity.device, parity.arm) == key and not parity.passed for parity in folder.parities):
        return True
    # A training that diverged was measured: the next seed was tried all the same.
    status = {cell.id: "ok" if cell.diverged else cell.status for cell in folder.cells}
    mine = [status.get(cell.id) for cell in folder.run.plan if (cell.workload, cell.device, cell.arm) == key]
    tried = [found for found in mine if found in ("ok", "failed")]  # in the order of the plan, which is that of time
    return len(tried) >= STRIKES and set(tried[-STRIKES:]) == {"failed"}


def _with_contestant(frame: pd.DataFrame) -> pd.DataFrame:
    labelled = frame["label"] != ""
    names = map(record.contestant, frame["arm"][labelled], frame["label"][labelled])
    return frame.assign(contestant=frame["arm"].mask(labelled, pd.Series(names, frame.index[labelled], dtype="str")))


def _summarise(
    folder: Folder,
    arm: str,
    label: str,
    cells: Sequence[record.Cell],
    rows: pd.DataFrame,
    rounds: pd.DataFrame,
    points: pd.DataFrame,
) -> ArmSummary:
    name = record.contestant(arm, label)
    mine, own = rounds[rounds["contestant"] == name], points[points["contestant"] == name]
    cells = [cell for cell in cells if (cell.arm, cell.label) == (arm, label)]
    steps = by_block(mine, name, "train_step")
    counted = [value for values in steps.values() for value in values]
    first = by_block(mine, name, "first_step", "seconds")
    result = {cell.block: [took_s] for cell in cells if (took_s := ledger.first_result_s(cell))}
    cold = {cell.block for cell in cells if derived.cold(cell)}
    warm = {cell.block for cell in cells if cell.block} - cold
    last = int(own["epoch"].max()) if len(own) else None
    final = own[(own["epoch"] == last) & (own["split"] == "validation")]
    warmed = [phase.warmup_rounds for cell in cells if (phase := derived.phases(cell).get("train_step"))]
    return ArmSummary(
        arm=arm,
        label=label,
        step_s=stats.over_blocks(steps),
        step_percentiles_s=_percentiles(counted),
        round_steps=_steps(mine, "train_step"),
        throughput=stats.over_blocks(by_block(mine, name, "train_step", "throughput_samples_per_s")),
        warmup_rounds=(min(warmed), max(warmed)) if warmed else None,
        unsettled=tuple(cell.block for cell in cells if not _settled(cell)),
        epoch_s=stats.over_blocks(by_block(mine, name, epoch_phase(rounds), "seconds")),
        epoch_steps=_steps(mine, epoch_phase(rounds)),
        validate_s=stats.over_blocks(by_block(mine, name, "validate", "seconds") or _validations(own)),
        first_step_cold_s=_cold(first, cold),
        first_step_warm_s=stats.over_blocks({block: values for block, values in first.items() if block in warm}),
        first_result_cold_s=_cold(result, cold),
        first_result_warm_s=stats.over_blocks({block: values for block, values in result.items() if block in warm}),
        epochs=last,
        validation={
            str(metric): found
            for metric, group in final.groupby("metric", sort=False)
            if (found := stats.spread(group["value"]))
        },
        aside=next((beside for cell in cells if (beside := _aside(cell))), None),
        unmeasured=None if counted else _why(folder, arm, rows[rows["contestant"] == name]),
    )


def _cold(values: Mapping[int, Sequence[float]], cold: Collection[int]) -> float | None:
    """The median over the cold blocks: one, and in a fleet one for each machine."""
    found = stats.over_blocks({block: values[block] for block in cold if block in values})
    return found.median if found else None


def _settled(cell: record.Cell) -> bool:
    """Whether the cell's step times are steady after the warm-up; rounds that do not count are no sign of either."""
    step = derived.phases(cell).get("train_step")
    if step is None:
        return True
    kept = zip(step.rounds_s, step.counted, strict=True)
    return stats.settled([s for place, (s, counted) in enumerate(kept) if counted or place < step.warmup_rounds])


def _aside(cell: record.Cell) -> tuple[str, float, float] | None:
    """Of a cell with an aside: what it is, its median step time and that of the cell's own steps."""
    found = derived.phases(cell)
    aside, own = found.get("aside"), found.get("train_step")
    if aside is None or own is None:
        return None
    aside_s, own_s = (stats.median(phase.counted_s) / phase.steps_per_round for phase in (aside, own))
    return aside.about or "another training step", aside_s, own_s


def _validations(points: pd.DataFrame) -> dict[int, list[float]]:
    """Seconds of every validation on the learning curve, by block."""
    once = points.drop_duplicates(["cell", "epoch"])
    found: dict[int, list[float]] = {}
    for block, seconds in zip(once["block"].tolist(), once["validate_s"].tolist(), strict=True):
        found.setdefault(block, []).append(seconds)
    return dict(sorted(found.items()))


def _percentiles(values: list[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    return stats.percentile(values, 50), stats.percentile(values, 90), stats.percentile(values, 99)


def _steps(rounds: pd.DataFrame, phase: str) -> int | None:
    steps = rounds[rounds["phase"] == phase]["steps"]
    return int(steps.min()) if len(steps) else None


def _why(folder: Folder, arm: str, rows: pd.DataFrame) -> str:
    """Why an arm has no step time: its hole, else its first failure, hole, unreadable or missing cell."""
    hole = folder.run.arms[arm].hole
    if hole:
        return f"hole: {hole}"
    for status in ("failed", "unreadable", "hole", "missing"):
        reasons = rows[rows["status"] == status]["reason"]
        if len(reasons):
            return f"{status}: {reasons.iloc[0]}"
    return "not planned" if rows.empty else "no step time in its cells"
