"""Builds the folder of a run that trained whole schedules, out of simulated curves. Nothing in it was measured.

As a program: `python tests/make_book.py FOLDER` writes a full one: both heads, dead starts, a diverged seed, a hole.
"""

import dataclasses
import itertools
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from make_cell import ARMS, MARK, bare_cell
from make_run import edit, make_arm, make_parity, make_workload
from make_training import CONV, JENA, Floats, Shape, simulate

from bench import catalogue, record

SHAPES: dict[str, Shape] = {
    "conv": CONV,
    "lstm": dataclasses.replace(CONV, last=0.875, pace=1.1),
    "conv_only": JENA,
    "conv_gru": dataclasses.replace(JENA, first=0.34, last=0.272, overfits=0.0013),
    "gru": dataclasses.replace(JENA, epochs=40, first=0.33, last=0.262, overfits=0.0002),
}
EPOCH_S = {"conv": 15.0, "lstm": 120.0, "conv_only": 8.0, "conv_gru": 21.0, "gru": 160.0}
NAIVE = 0.2938
SHUFFLED = {"conv_only": 1.03, "conv_gru": 1.9}
"""Loss with shuffled time steps over that in order."""
HEAD = "conv.head-as_published"
LIVE_LOSS = (0.685, 0.663, 0.612, 0.521, 0.479, 0.450, 0.441, 0.445, 0.455, 0.462)
LIVE_ACCURACY = (0.59, 0.66, 0.71, 0.77, 0.83, 0.836, 0.82, 0.805, 0.785, 0.76)
ABOVE = (0.0, 0.0, 0.002, 0.006, 0.011, 0.019, 0.032, 0.05, 0.073, 0.1)
"""Share of outputs that round to 2 or more, under the published head."""
STATES = ("dead", "live", "partly live", "dead", "partly live")
"""How the seeds of the published head start, over and over."""
SAMPLES = 20_000


def make_book(
    folder: Path,
    *,
    workloads: Sequence[str] = ("conv",),
    arms: Sequence[str] = ("keras-tensorflow", "torch-eager"),
    seeds: int = 3,
    fewer: Mapping[str, int] | None = None,
    untrained: Sequence[str] = (),
    identity: Any = "equivalent",
    starts: int = 0,
) -> Path:
    """Every workload trained by every arm from seeds 0, 1, …, but from `fewer` of them where a workload is named there.

    `untrained` are arms that cannot run here. Of `starts` seeds a study tells how they start, by two initialisers.
    """
    draw = np.random.default_rng(11)
    (folder / "cells").mkdir(parents=True)
    (folder / "parity").mkdir()
    plan, cells = [], []
    for key in workloads:
        count = (fewer or {}).get(key, seeds)
        curves = simulate(draw, SHAPES[key.partition(".")[0]], len(arms), count)
        for seed in range(count):
            for place, arm in enumerate([*arms, *untrained]):
                name, *settings = key.split(".")
                cell = ".".join([name, arm, "cpu", f"s{seed}", *settings])
                plan.append(record.PlannedCell(cell, key, arm, "cpu", seed + 1, ("converge",), 60.0, "", seed))
                if arm not in untrained:
                    cells.append(make_trained(draw, plan[-1], curves[place, seed], identity))
    if starts:
        key = HEAD if HEAD in workloads else workloads[0]
        name, *settings = key.split(".")
        study = ".".join([name, arms[0], "cpu", record.STARTS, *settings])
        plan.append(record.PlannedCell(study, key, arms[0], "cpu", 0, (record.STARTS,), 60.0))
        cells.append(make_study(plan[-1], make_starts(draw, starts), identity))
    run = record.Run(
        schema=record.SCHEMA,
        id=folder.name,
        started="2026-01-05T09:30:00Z",
        command=("bench", "run", "--profile", "book"),
        profile="book",
        device="cpu",
        seed=0,
        budget_s=None,
        arms={arm: make_arm(arm, "simulated hole" if arm in untrained else None) for arm in (*arms, *untrained)},
        workloads={key: make_judged(key, identity) for key in workloads},
        plan=tuple(plan),
        environment={"note": MARK, "cpu": {"model": "simulated", "cores": 2}},
        finished="2026-01-05T19:40:00Z",
        ended_because="all planned cells measured",
    )
    record.write(folder / "run.json", run)
    for cell in cells:
        record.write(folder / "cells" / f"{cell.id}.json", cell)
    for key, arm in itertools.product(workloads, arms):
        proved = make_parity(random.Random(5), key, arm, arm)
        record.write(folder / "parity" / f"{proved.id}.json", proved)
    return folder


def make_hostile(folder: Path, text: str) -> Path:
    """A small run that trained both heads, `text` in the fields that reach its pages: an arm, a hole, a reason."""
    make_book(folder, workloads=("conv", HEAD), seeds=3, untrained=("torch-compile",), starts=4)
    run = record.read(folder / "run.json", record.Run)
    arms = {name.replace("torch-eager", text): arm for name, arm in run.arms.items()}
    arms["torch-compile"] = msgspec.structs.replace(arms["torch-compile"], hole=text)
    plan = tuple(msgspec.structs.replace(each, arm=each.arm.replace("torch-eager", text)) for each in run.plan)
    edit(folder / "run.json", arms=arms, plan=plan, ended_because=text)
    for cell in (folder / "cells").glob("*.torch-eager.*"):
        edit(cell, arm=text)
    for parity in (folder / "parity").glob("*.torch-eager.*"):
        edit(parity, arm=text)
    edit(folder / "cells" / "conv.torch-eager.cpu.s1.json", status="failed", reason=text, diverged=True)
    study = next((folder / "cells").glob("*.starts.*"))
    starts = record.read(study, record.Cell).starts
    told = (msgspec.structs.replace(each, initialiser=text) for each in starts if each.initialiser != "shared")
    edit(study, starts=(*(each for each in starts if each.initialiser == "shared"), *told))
    return folder


def make_judged(key: str, identity: Any) -> record.Workload:
    spec = catalogue.load(key)
    target = NAIVE if spec.quality.target == "naive" else spec.quality.target
    return msgspec.structs.replace(
        make_workload(key, identity, spec.head),
        quality=record.Quality(spec.quality.metric, target, spec.quality.margin),
        naive_loss=None if spec.head else NAIVE,
        naive_test_loss=None if spec.head else NAIVE + 0.004,
    )


def make_study(planned: record.PlannedCell, starts: tuple[record.Start, ...], identity: Any) -> record.Cell:
    """A cell that looked at starts and trained nothing."""
    spec = catalogue.load(planned.workload)
    extra = {"phase": record.STARTS, "steps_per_round": spec.steps_per_epoch, "samples_per_round": SAMPLES}
    rounds = {"data": [1.5] * len(starts)}
    return _cell(planned, identity, wall_s=2.0 * len(starts), starts=starts, benchmark=(extra, rounds))


def make_trained(draw: np.random.Generator, planned: record.PlannedCell, values: Floats, identity: Any) -> record.Cell:
    name, spec = planned.workload.partition(".")[0], catalogue.load(planned.workload)
    curve = _published(draw, planned.seed or 0) if planned.workload == HEAD else _curve(values, bool(spec.head))
    epoch_s = EPOCH_S[name] * ARMS[planned.arm]
    points = tuple(
        record.CurvePoint(
            epoch + 1,
            {what: float(curve["train", what][epoch]) for what in spec.metrics},
            {what: float(column[epoch]) for (split, what), column in curve.items() if split == "validation"},
            epoch_s * float(draw.lognormal(0, 0.02)),
            0.2 * epoch_s,
        )
        for epoch in range(len(values))
    )
    metric = spec.quality.metric
    best = min(points, key=lambda point: point.validation[metric] * (1 if metric == "loss" else -1))
    shuffled = tuple(
        {"loss": best.validation["loss"] * SHUFFLED[name] * float(draw.lognormal(0, 0.005))} for _ in range(3)
    ) if name in SHUFFLED else ()  # fmt: skip
    samples = SAMPLES if spec.head else 500 * 128
    extra = {"phase": "converge", "steps_per_round": spec.steps_per_epoch, "samples_per_round": samples}
    return _cell(
        planned,
        identity,
        wall_s=sum(point.train_s + point.validate_s for point in points),
        curve=points,
        tested=record.Tested(best.epoch, {name: best.validation[name] for name in spec.metrics}, 1.0, shuffled),
        benchmark=(extra, {"data": [point.train_s for point in points]}),
    )


def _cell(planned: record.PlannedCell, identity: Any, *, benchmark: Any, **fields: Any) -> record.Cell:
    return bare_cell(
        planned,
        [{"extra_info": benchmark[0], "stats": benchmark[1]}],
        digest=catalogue.load(planned.workload).digest(),
        data_identity=identity,
        seed=planned.seed or 0,
        parity=f"{planned.workload}.{planned.arm}.cpu",
        peak_memory_bytes=900 * 2**20,
        versions={"simulated": "1.2.3"},
        **fields,
    )


def _curve(values: Floats, classifier: bool) -> dict[tuple[str, str], Floats]:
    """Both metrics on both splits from the validation values of the one that is judged."""
    epoch = np.arange(len(values))
    if not classifier:
        return {("validation", "loss"): values, ("train", "loss"): values - 0.006 * epoch + 0.02}
    loss = 1.35 - 1.15 * values + 0.004 * np.maximum(0, epoch - 6)
    return {
        ("validation", "accuracy"): values,
        ("validation", "loss"): loss,
        ("train", "accuracy"): values + 0.008 * epoch - 0.03,
        ("train", "loss"): loss - 0.02 * epoch + 0.05,
    }


def _published(draw: np.random.Generator, seed: int) -> dict[tuple[str, str], Floats]:
    """Under the published head a seed is dead, or goes on as a live one does, or stops halfway."""
    state = STATES[seed % len(STATES)]
    epochs = len(LIVE_LOSS)
    if state == "dead":
        same = np.full(epochs, 8.08)
        return {
            ("validation", "loss"): same,
            ("validation", "accuracy"): np.full(epochs, 0.506),
            ("train", "loss"): same,
            ("train", "accuracy"): np.full(epochs, 0.498),
            **_rounding(np.full(epochs, 0.506), np.zeros(epochs)),
        }
    loss, accuracy = (np.array(column) + draw.normal(0, 0.004, epochs) for column in (LIVE_LOSS, LIVE_ACCURACY))
    if state == "partly live" and seed % 2:  # it stops halfway
        loss[4:], accuracy[4:] = loss[4] + 0.6, 0.55
    return {
        ("validation", "loss"): loss,
        ("validation", "accuracy"): accuracy,
        ("train", "loss"): loss - 0.02 * np.arange(epochs) + 0.05,
        ("train", "accuracy"): accuracy + 0.02,
        **_rounding(accuracy, np.array(ABOVE)),
    }


def _rounding(accuracy: Floats, above: Floats) -> dict[tuple[str, str], Floats]:
    """What the epochs of the published head record beside loss and accuracy."""
    columns = (above, above / 8, accuracy + 1.1 * above)
    return {("validation", name): column for name, column in zip(record.ROUNDING_METRICS, columns, strict=True)}


def make_starts(draw: np.random.Generator, seeds: int) -> tuple[record.Start, ...]:
    found = []
    for initialiser in ("shared", "Keras"):
        for seed in range(seeds):
            state = STATES[seed % len(STATES)] if initialiser == "shared" else STATES[int(draw.integers(0, 5))]
            live = {"dead": 0, "live": SAMPLES}.get(state, int(draw.integers(1, SAMPLES)))
            middle = {"dead": -0.05, "live": 0.06}.get(state, 0.01)
            below = SAMPLES - live
            found.append(record.Start(seed, initialiser, live, SAMPLES, below, middle - 0.04, middle, middle + 0.04))
    return tuple(found)


if __name__ == "__main__":
    made = make_book(
        Path(sys.argv[1]),
        workloads=("conv", "conv_only", "conv_gru", HEAD, "lstm", "gru"),
        fewer={HEAD: 8, "lstm": 1, "gru": 1},
        untrained=("torch-compile",),
        starts=50,
    )
    cell = made / "cells" / "conv_only.torch-eager.cpu.s2.json"
    edit(cell, curve=record.read(cell, record.Cell).curve[:7], status="failed", reason="loss is nan", diverged=True)
