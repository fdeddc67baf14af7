"""Builds a run folder out of simulated numbers, for tests and for looking at reports. Nothing in it was measured.

As a program: `python tests/make_run.py FOLDER` writes a full one with holes and failures.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench import record, workload
from bench.data.windows import DataFile, Source

MARK = "SIMULATED by tests/make_run.py, nothing was measured"
ARMS = {"keras-tensorflow": 1.0, "keras-jax": 0.82, "keras-torch": 1.9, "torch-eager": 1.12, "torch-compile": 0.86}
"""Arm and its simulated step time, relative to the first."""
STEP_S = {"conv": 0.021, "conv_only": 0.0093, "conv_gru": 0.034}


def make_run(
    folder: Path,
    *,
    workloads: Sequence[str] = ("conv", "conv_gru", "conv_only"),
    arms: Sequence[str] = tuple(ARMS),
    blocks: int = 6,
    rounds: int = 40,
    epochs: int = 1,
    epoch_steps: int | None = None,
    identity: Any = "synthetic",
    holes: dict[str, str] | None = None,
    head: str | None = "logits",
    finished: bool = True,
    rename: dict[str, str] | None = None,
) -> Path:
    """A whole run under `folder`; `holes` maps an arm to the reason it cannot run, `rename` an arm to another name.

    Every workload's epochs have `epoch_steps` steps (None: its own number), and its first two blocks `epochs` epochs.
    """
    draw = random.Random(5)
    holes, rename = holes or {}, rename or {}
    (folder / "cells").mkdir(parents=True)
    (folder / "parity").mkdir()
    plan, cells = [], []
    for block in range(1, blocks + 1):
        for name in workloads:
            for arm in draw.sample(list(arms), len(arms)):
                if arm in holes:
                    continue
                phases = ("first_step", "train_step") + (("epoch", "validate") if block <= 2 else ())
                shown = rename.get(arm, arm)
                plan.append(record.PlannedCell(f"{name}.{arm}.cpu.b{block}", name, shown, "cpu", block, phases, 9.5))
                cells.append(make_cell(draw, plan[-1], arm, rounds, epochs, epoch_steps, identity))
    run = record.Run(
        schema=record.SCHEMA,
        id=folder.name,
        started="2026-01-05T09:30:00Z",
        command=("bench", "run", "--profile", "quick", "--seed", "7"),
        profile="quick",
        device="cpu",
        seed=7,
        budget_s=600.0,
        arms={rename.get(arm, arm): make_arm(arm, holes.get(arm)) for arm in arms},
        workloads={name: make_workload(name, identity, head) for name in workloads},
        plan=tuple(plan),
        environment={
            "note": MARK,
            "cpu": {"model": "simulated", "cores": 2},
            "git": {"commit": "0" * 40, "dirty": False},
        },
        finished="2026-01-05T09:40:00Z" if finished else None,
        ended_because="all blocks measured" if finished else None,
    )
    record.write(folder / "run.json", run)
    for cell in cells:
        record.write(folder / "cells" / f"{cell.id}.json", cell)
    for name in workloads:
        for arm in arms:
            if arm not in holes:
                record.write(
                    folder / "parity" / f"{name}.{arm}.cpu.json", make_parity(draw, name, rename.get(arm, arm), arm)
                )
    return folder


def make_arm(name: str, hole: str | None) -> record.Arm:
    return record.Arm(
        framework=name.split("-")[0], tier="stock", settings={"step": f"simulated step of {name}"}, hole=hole
    )


def make_workload(name: str, identity: Any, head: str | None) -> record.Workload:
    spec = workload.load(name)
    return record.Workload(
        title=spec.title,
        digest=spec.digest(),
        head=head if spec.head else None,
        metrics=spec.metrics,
        input_shape=spec.input_shape,
        layers=tuple((row.name, row.kind, row.output_shape, row.parameters) for row in spec.summary()),
        parameters=spec.parameters,
        batch_size=spec.batch_size,
        steps_per_epoch=spec.steps_per_epoch,
        epochs=spec.epochs,
        flops_per_step=1_000_000_000,
        bytes_per_step=50_000_000,
        optimizer=str(spec.optimizer),
        data=Source(identity, f"{identity} data, {MARK}", (DataFile("simulated.npz", "ab" * 32, 1234),)),
        naive_loss=None if spec.head else 0.2938,
        published=record.Published(spec.published.curve, spec.published.source) if spec.published else None,
    )


def make_cell(
    draw: random.Random,
    planned: record.PlannedCell,
    arm: str,
    rounds: int,
    epochs: int,
    epoch_steps: int | None,
    identity: Any,
) -> record.Cell:
    spec = workload.load(planned.workload)
    steps = epoch_steps or spec.steps_per_epoch
    step_s = STEP_S[planned.workload] * ARMS[arm] * draw.lognormvariate(0, 0.015)

    def noisy(seconds: float) -> float:
        burst = draw.uniform(1.1, 1.4) if draw.random() < 0.03 else 1.0
        return seconds * burst * draw.lognormvariate(0, 0.02)

    warm = [noisy(step_s * factor) for factor in (3.2, 1.5, 1.1)]
    timed: dict[str, tuple[list[float], int, int]] = {
        "first_step": ([noisy(4.2 if planned.block == 1 else 2.9)], 0, 1),
        "train_step": (warm + [noisy(step_s) for _ in range(rounds)], 3, 1),
        "epoch": ([noisy(step_s * steps * 1.06)], 0, steps),
        "validate": ([noisy(step_s * 40 * 0.35)], 0, 40),
    }
    numbers = range(1, epochs + 1) if "epoch" in planned.phases else ()
    curve = tuple(make_point(draw, spec.metrics, epoch, step_s * steps) for epoch in numbers)
    return record.Cell(
        schema=record.SCHEMA,
        id=planned.id,
        workload=planned.workload,
        arm=planned.arm,
        device=planned.device,
        block=planned.block,
        digest=spec.digest(),
        data_identity=identity,
        seed=7,
        status="ok",
        reason=None,
        output_tail="",
        parity=f"{planned.workload}.{arm}.cpu",
        started="2026-01-05T09:31:00Z",
        wall_s=9.0,
        curve=curve,
        peak_memory_bytes=round(700e6 * ARMS[arm]),
        device_peak_memory_bytes=None,
        versions={"simulated": "1.2.3"},
        environment={"OMP_NUM_THREADS": "2"},
        threads=2,
        pytest_benchmark={
            "note": MARK,
            "benchmarks": [
                {
                    "extra_info": {
                        "phase": phase,
                        "warmup_rounds": timed[phase][1],
                        "steps_per_round": timed[phase][2],
                        "samples_per_round": timed[phase][2] * spec.batch_size,
                    },
                    "stats": {"data": timed[phase][0]},
                }
                for phase in planned.phases
            ],
        },
    )


def make_point(draw: random.Random, metrics: Sequence[str], epoch: int, train_s: float) -> record.CurvePoint:
    loss = 0.28 + 0.4 * 0.75 ** (epoch - 1) + draw.gauss(0, 0.004)
    train, validation = {"loss": loss}, {"loss": loss * 1.03 + 0.004 * max(0, epoch - 6) + draw.gauss(0, 0.006)}
    if "accuracy" in metrics:
        train["accuracy"], validation["accuracy"] = 1.15 - 0.85 * loss, 1.12 - 0.85 * loss + draw.gauss(0, 0.004)
    return record.CurvePoint(epoch, train, validation, train_s * draw.lognormvariate(0, 0.02), 0.4 * train_s)


def make_parity(draw: random.Random, name: str, shown: str, arm: str) -> record.Parity:
    spec = workload.load(name)
    checks = []
    for precision, bound in (("float64", 1e-9), ("float32", 1e-5)):
        quantities = ["predictions in training", "loss", *(f"gradient {weight}" for weight in spec.weights())]
        quantities += [f"weights after 20 steps, {weight}" for weight in spec.weights()]
        checks += [record.ParityCheck(precision, what, bound * draw.random() / 30, bound, True) for what in quantities]
    return record.Parity(
        schema=record.SCHEMA,
        id=f"{name}.{arm}.cpu",
        workload=name,
        arm=shown,
        device="cpu",
        digest=spec.digest(),
        passed=True,
        reason=None,
        checks=tuple(checks),
        notes=(MARK,),
        wall_s=3.0,
    )


def edit(path: Path, **changes: Any) -> None:
    """Rewrites `run.json`, a cell or a parity record with some fields changed."""
    kinds: dict[str, Any] = {"cells": record.Cell, "parity": record.Parity}
    value: Any = record.read(path, kinds.get(path.parent.name, record.Run))
    record.write(path, msgspec.structs.replace(value, **changes))


if __name__ == "__main__":
    make_run(Path(sys.argv[1]), holes={"torch-compile": "no C++ compiler; install g++"})
