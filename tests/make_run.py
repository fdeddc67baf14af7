"""Builds a run folder out of simulated numbers, for tests and for looking at reports. Nothing in it was measured.

As a program: `python tests/make_run.py FOLDER` writes a full one: an A/A control, disturbed rounds, ceilings, a hole.
"""

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from make_cell import ARMS, MARK, framework, make_ceiling, make_cell

from bench import catalogue, record
from bench.data.windows import DataFile, Source

NEW_IN_2 = {
    "label", "ledger", "watch", "device_process_peak_memory_bytes", "energy", "tries", "margin", "control", "starts_s",
    "beside", "used_s", "machine", "cold", "floor", "devices", "stream_s", "chain_s", "chain_operations",
}  # fmt: skip


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
    control: str | None = None,
    ceilings: bool = False,
    busy: float = 0.0,
    counter: str | None = None,
    schema: int = record.SCHEMA,
) -> Path:
    """A whole run under `folder`; `holes` maps an arm to the reason it cannot run, `rename` an arm to another name.

    Every workload's epochs have `epoch_steps` steps (None: its own number), and its first two blocks `epochs` epochs.
    `control` is the arm entered twice, `busy` the share of windows that something disturbed, `counter` what measured
    energy (None: nothing could). With `schema=1`, the records are as that schema had them.
    """
    draw = random.Random(5)
    holes, rename = holes or {}, rename or {}
    (folder / "cells").mkdir(parents=True)
    (folder / "parity").mkdir()
    plan, cells = [], []
    for arm in {framework(arm): arm for arm in reversed(arms) if arm not in holes}.values() if ceilings else ():
        shown = rename.get(arm, arm)
        plan.append(record.PlannedCell(f"ceiling.{shown}.cpu.b0", record.CEILING, shown, "cpu", 0, ("ceiling",), 4.0))
        cells.append(make_ceiling(draw, plan[-1], arm))
    for block in range(1, blocks + 1):
        for name in workloads:
            entries = [(arm, "") for arm in arms if arm not in holes] + ([(control, record.CONTROL)] if control else [])
            for arm, label in draw.sample(entries, len(entries)):
                phases = ("first_step", "train_step") + (("epoch", "validate") if block <= 2 else ())
                cell = f"{name}.{arm}.cpu.b{block}" + (f".{label}" if label else "")
                plan.append(record.PlannedCell(cell, name, rename.get(arm, arm), "cpu", block, phases, 9.5, label))
                cells.append(
                    make_cell(
                        draw,
                        plan[-1],
                        arm,
                        rounds=rounds,
                        epochs=epochs,
                        epoch_steps=epoch_steps,
                        identity=identity,
                        busy=0.9 if busy and (arm, block) == (arms[-1], 4) else busy,
                        counter=counter,
                    )
                )
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
        control=control and rename.get(control, control),
    )
    write(folder / "run.json", run, schema)
    for cell in cells:
        write(folder / "cells" / f"{cell.id}.json", cell, schema)
    for name in workloads:
        for arm in arms:
            if arm not in holes:
                write(
                    folder / "parity" / f"{name}.{arm}.cpu.json",
                    make_parity(draw, name, rename.get(arm, arm), arm),
                    schema,
                )
    return folder


def make_arm(name: str, hole: str | None) -> record.Arm:
    return record.Arm(
        framework=framework(name), tier="stock", settings={"step": f"simulated step of {name}"}, hole=hole
    )


def make_workload(name: str, identity: Any, head: str | None) -> record.Workload:
    spec = catalogue.load(name)
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
        devices=spec.devices,
        published=record.Published(spec.published.curve, spec.published.source) if spec.published else None,
        floor=record.Floor(
            product_flops=100_000_000,
            bytes=6_000_000,
            chain=20_000 if name == "conv_gru" else 0,
            distinct_inputs=3456.7,
        ),
    )


def make_parity(draw: random.Random, name: str, shown: str, arm: str) -> record.Parity:
    spec = catalogue.load(name)
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


def write(path: Path, value: msgspec.Struct, schema: int) -> None:
    """Writes a record as it was under `schema`."""
    if schema == record.SCHEMA:
        record.write(path, value)
    else:
        old = _without(msgspec.to_builtins(value), NEW_IN_2) | {"schema": schema}
        path.write_text(json.dumps(old, indent=1) + "\n")


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        kept = {key: _without(entry, names) for key, entry in value.items() if key not in names}
        return kept | ({"warmup_rounds": 3 if kept["phase"] == "train_step" else 0} if "phase" in kept else {})
    return [_without(entry, names) for entry in value] if isinstance(value, (list, tuple)) else value


def edit(path: Path, **changes: Any) -> None:
    """Rewrites `run.json`, a cell or a parity record with some fields changed."""
    kinds: dict[str, Any] = {"cells": record.Cell, "parity": record.Parity}
    value: Any = record.read(path, kinds.get(path.parent.name, record.Run))
    record.write(path, msgspec.structs.replace(value, **changes))


if __name__ == "__main__":
    make_run(
        Path(sys.argv[1]),
        holes={"keras-torch": "keras is not installed for it; install it"},
        control="torch-eager",
        ceilings=True,
        busy=0.03,
        counter="RAPL of the processor package",
    )
