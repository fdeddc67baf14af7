"""Builds the record of one cell out of simulated numbers. Nothing in it was measured."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from bench import catalogue, derived, record

MARK = "SIMULATED by tests/make_run.py, nothing was measured"
ARMS = {"keras-tensorflow": 1.0, "keras-jax": 0.82, "keras-torch": 1.9, "torch-eager": 1.12, "torch-compile": 0.83}
"""Arm and its simulated step time, relative to the first."""
STEP_S = {"conv": 0.021, "conv_only": 0.0093, "conv_gru": 0.034}
FIXED = {"keras-tensorflow": 0.3, "keras-jax": 0.35, "keras-torch": 0.8, "torch-eager": 0.65, "torch-compile": 0.2}
"""Share of a step that does not depend on the batch."""
LOOP = {"keras-tensorflow": 1.06, "keras-jax": 1.7, "keras-torch": 1.1, "torch-eager": 1.02, "torch-compile": 1.03}
"""A step of an epoch, relative to a step on staged batches."""
IMPORT_S = {"tensorflow": 6.1, "jax": 1.9, "torch": 2.4}
CEILING_FLOPS = {"tensorflow": 141e9, "jax": 128e9, "torch": 152e9}
STREAM_BYTES = {2**18: 90e9, 2**20: 70e9, 2**22: 40e9, 2**24: 20e9, 2**26: 11e9, 2**28: 10e9}
"""Per second, by how many are moved."""
CHAIN_S = 1.1e-9
WINDOW_S = 0.25
BUSY = "other processes used {:.2f} of a core"
EXCHANGE = 1.25
"""A step on several devices, relative to one whose gradients stay on their device."""
ALONE = 128
"""Samples in a batch as specified."""
SMALL = 8
"""The small step has so many times fewer samples."""


def framework(arm: str) -> str:
    return arm.partition("-")[2] if arm.startswith("keras-") else "torch"


class Life:
    """A cell's process: what it did when, and in which windows something disturbed it."""

    def __init__(self, draw: random.Random, busy: float) -> None:
        self.draw, self.busy = draw, busy
        self.now_s = 0.0
        self.spans: list[record.Span] = []
        self.windows = [record.Window(-WINDOW_S, 0.0, self.readings(0.01))]
        self.phases: list[dict[str, Any]] = []

    def readings(self, foreign_cores: float) -> dict[str, float]:
        """Of a processor that cools down and warms up again."""
        return {"foreign_cores": foreign_cores, "frequency_hz": 3.4e9 - 2e7 * (round(10 * self.now_s) % 16)}

    def span(self, name: str, seconds: float) -> None:
        self.spans.append(record.Span(name, self.now_s, self.now_s + seconds))
        self.now_s += seconds

    def rounds(self, phase: str, span: str, expected_s: Sequence[float], steps: int, samples: int) -> list[float]:
        """Rounds in windows of at least `WINDOW_S`; those of a disturbed one take longer."""
        rounds_s, starts_s, begin_s, waiting = [], [], self.now_s, list(expected_s)
        while waiting:
            opened_s, taints = self.now_s, ()
            if self.draw.random() < self.busy:
                taints = (BUSY.format(self.draw.uniform(0.2, 0.9)),)
            while waiting and self.now_s - opened_s < WINDOW_S:
                burst = self.draw.uniform(1.1, 1.4) if self.draw.random() < 0.03 or taints else 1.0
                rounds_s.append(waiting.pop(0) * burst * self.draw.lognormvariate(0, 0.02))
                starts_s.append(self.now_s)
                self.now_s += rounds_s[-1] + 0.0002
            self.windows.append(record.Window(opened_s, self.now_s, self.readings(0.0), taints))
        self.spans.append(record.Span(span, begin_s, self.now_s))
        extra = {"phase": phase, "steps_per_round": steps, "samples_per_round": samples, "starts_s": starts_s}
        self.phases.append({"extra_info": extra, "stats": {"data": rounds_s}})
        return rounds_s


def make_cell(
    draw: random.Random,
    planned: record.PlannedCell,
    arm: str,
    *,
    rounds: int,
    epochs: int,
    epoch_steps: int | None,
    identity: Any,
    busy: float,
    counter: str | None,
) -> record.Cell:
    """`arm` is what the numbers are of, whatever the plan calls it; `busy` the share of windows with a taint."""
    spec = catalogue.load(planned.workload)
    steps, batch, cold = epoch_steps or spec.steps_per_epoch, spec.batch_size, planned.block == 1
    step_s = STEP_S[planned.workload.partition(".")[0]] * ARMS[arm] * draw.lognormvariate(0, 0.008)
    if spec.devices > 1:  # shared out, with a part that is not
        step_s *= EXCHANGE * batch / ALONE / spec.devices
    life = Life(draw, busy)
    for name, seconds in (("interpreter", 0.31), ("suite", 0.2), ("data", 0.12), ("import", IMPORT_S[framework(arm)])):
        life.span(name, seconds)
    begin_s = life.now_s
    life.span("build", 0.35)
    life.span("stage", 0.2)
    if "first_step" in planned.phases:  # its one round holds the building and staging too
        life.rounds("first_step", "first_step", [4.2 if cold else 2.9], 1, batch)
        first = life.phases[-1]
        first["stats"]["data"], first["extra_info"]["starts_s"] = [life.now_s - begin_s], [begin_s]
    if "train_step" in planned.phases:
        expected_s = [step_s * factor for factor in (3.2, 1.5, 1.1)] + [step_s] * rounds
        stepping_s = sum(life.rounds("train_step", "train_step", expected_s, 1, batch))
        starts_s, rounds_s = life.phases[-1]["extra_info"]["starts_s"], life.phases[-1]["stats"]["data"]
        begun = zip(starts_s, rounds_s, strict=True)
        disturbed = sum(bool(derived.taints(tuple(life.windows), start_s, start_s + s)) for start_s, s in begun)
        if disturbed:
            life.rounds("train_step", "train_step", [step_s] * disturbed, 1, batch)
    if "epoch" in planned.phases:
        life.rounds("epoch", "epoch", [step_s * steps * LOOP[arm]], steps, steps * batch)
        life.rounds("validate", "validate", [step_s * 40 * 0.35], 40, 40 * batch)
    if "train_step" in planned.phases and cold and not planned.label and spec.devices == 1:
        small_s = step_s * (FIXED[arm] + (1 - FIXED[arm]) / SMALL)
        life.rounds("small_step", "checks", [small_s] * 10, 1, batch // SMALL)
    if "train_step" in planned.phases and spec.devices > 1 and not planned.label:
        life.rounds(derived.LOCAL, "checks", [step_s / EXCHANGE] * rounds, 1, batch)
    life.span("suite", 0.15)
    life.span("teardown", 0.22)
    ended_s, taints = life.now_s + 0.01, (BUSY.format(0.4),) if busy and planned.block == 2 else ()
    life.windows.append(record.Window(ended_s, ended_s + WINDOW_S, life.readings(0.0), taints))
    energy = record.Energy(counter or "RAPL", None, None, None, "no RAPL here (virtual machine?)")
    if counter and "train_step" in planned.phases:
        energy = record.Energy(counter, 38.0 * stepping_s, stepping_s, rounds + 3)
    numbers = range(1, epochs + 1) if "epoch" in planned.phases else ()
    return bare_cell(
        planned,
        life.phases,
        label=planned.label,
        digest=spec.digest(),
        data_identity=identity,
        parity=f"{planned.workload}.{arm}.cpu",
        wall_s=ended_s,
        curve=tuple(make_point(draw, spec.metrics, epoch, step_s * steps) for epoch in numbers),
        peak_memory_bytes=round(700e6 * ARMS[arm]),
        versions={"simulated": "1.2.3"},
        environment={"OMP_NUM_THREADS": "2"},
        ledger=tuple(life.spans),
        watch=tuple(life.windows),
        energy=(energy,),
    )


def make_ceiling(draw: random.Random, planned: record.PlannedCell, arm: str) -> record.Cell:
    size = 1024
    seconds = [2 * size**3 / CEILING_FLOPS[framework(arm)] * draw.uniform(1, 1.1) for _ in range(10)]
    extra = {"phase": record.CEILING, "steps_per_round": 1, "samples_per_round": 1, "starts_s": []}
    extra |= {"size": size, "flops": 2 * size**3}
    other = random.Random(planned.id)  # what was added later leaves the draws of everything else as they were
    streams = {
        str(moved): [moved / speed * other.uniform(1, 1.1) for _ in range(10)] for moved, speed in STREAM_BYTES.items()
    }
    chains = [CHAIN_S * 1_000_000 * other.uniform(1, 1.1) for _ in range(10)]
    extra |= {"stream_s": streams, "chain_s": chains, "chain_operations": 1_000_000}
    return bare_cell(planned, [{"extra_info": extra, "stats": {"data": seconds}}], wall_s=4.0)


def bare_cell(planned: record.PlannedCell, phases: Sequence[Mapping[str, Any]], **measured: Any) -> record.Cell:
    """A cell that ended well with these phases; all else of what it measured is empty unless given."""
    empty = {"digest": "", "data_identity": "", "seed": 7, "parity": None, "curve": (), "peak_memory_bytes": None}
    return record.Cell(
        schema=record.SCHEMA,
        id=planned.id,
        workload=planned.workload,
        arm=planned.arm,
        device=planned.device,
        block=planned.block,
        status="ok",
        reason=None,
        output_tail="",
        started="2026-01-05T09:31:00Z",
        device_peak_memory_bytes=None,
        threads=2,
        pytest_benchmark={"note": MARK, "benchmarks": list(phases)},
        **{**empty, "versions": {}, "environment": {}, **measured},
    )


def make_point(draw: random.Random, metrics: Sequence[str], epoch: int, train_s: float) -> record.CurvePoint:
    loss = 0.28 + 0.4 * 0.75 ** (epoch - 1) + draw.gauss(0, 0.004)
    train, validation = {"loss": loss}, {"loss": loss * 1.03 + 0.004 * max(0, epoch - 6) + draw.gauss(0, 0.006)}
    if "accuracy" in metrics:
        train["accuracy"], validation["accuracy"] = 1.15 - 0.85 * loss, 1.12 - 0.85 * loss + draw.gauss(0, 0.004)
    return record.CurvePoint(epoch, train, validation, train_s * draw.lognormvariate(0, 0.02), 0.4 * train_s)
