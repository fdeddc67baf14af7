"""The gate: holds one arm to the float64 reference on one workload and device, in a process of its own.

    python -m bench.parity --workload conv_gru --arm NAME --device cpu --out conv_gru.NAME.cpu.json

Exit code 0 when it passed, 1 when a tensor failed; the record names every tensor with its error and its bound. An
arm is held to the reference twice. In float32, as it is timed: predictions, loss, metrics, 20 training steps, and its
own dropout masks. In float64, where rounding hides nothing: the same and every gradient.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bench import record, reference, weights
from bench.catalogue import key, load
from bench.data.windows import Dataset, Indices, Source
from bench.errors import BenchError
from bench.implementation import Arm, Arrays, Device, Session, Setup, arm, open_session
from bench.layers import Gate, Recurrent
from bench.parity_judge import Judge, describe
from bench.parity_sampler import hold_sampler
from bench.process import die_with_parent
from bench.record import Parity, ParityCheck
from bench.workload import Head, Precision, Reviews, Workload

BATCH = 8
"""Samples, or a few more where they have to be shared out."""
STEPS = 20
SEED = 20_171
SHORTEST = 48
"""Time steps: a fifth of those that the recurrent workloads of series are specified with."""


def judge(contestant: Arm, workload: Workload, device: Device, threads: int, *, full: bool) -> list[ParityCheck]:
    """Every check of one arm on one workload, first in the workload's own precision.

    The order matters where a 64-bit mode is process-wide: once it is on, a float32 session would not be the timed one.
    """
    short = workload if full else shortened(workload)
    plan: list[tuple[Precision, Workload]] = [(workload.precision, workload), ("float64", short)]
    if workload.masks(1):
        plan.append(("float64", short.without_dropout()))
    checks: list[ParityCheck] = []
    for precision, variant in plan:
        judgement = Judge(precision)
        session = open_session(Setup(contestant, variant, device, threads, precision, SEED))
        hold_session(judgement, session, variant)
        if precision != "float64" and variant.masks(1):
            hold_sampler(judgement, session, variant, problem(variant).batch(0)[0], start_weights(variant))
        checks += judgement.checks
    return checks


def hold_session(judgement: Judge, session: Session, workload: Workload) -> None:
    """Holds shapes, predictions, loss, gradients, training and evaluation of an open session to the reference."""
    bounds = judgement.bounds
    data, start = problem(workload), start_weights(workload)
    masks = weights.sample_masks(workload, batch_size(workload), SEED) or None
    spec = [(row.name, row.output_shape, row.parameters) for row in workload.summary()]
    found = [(name, tuple(shape), count) for name, shape, count in session.summary()]
    judgement.state("layer names, shapes and parameter counts", 0.0 if found == spec else None, 0.0)

    session.reset(start)
    inputs, targets = data.batch(0)
    evaluated = reference.forward(workload, start, inputs)
    judgement.hold("predictions in evaluation", session.predict(inputs), evaluated, bounds.values)
    session.set_masks(masks)
    expected, loss, gradients = reference.loss_and_gradients(workload, start, inputs, targets, masks)
    predictions, actual_loss, actual = session.loss_and_gradients(inputs, targets)
    judgement.hold("predictions in training", predictions, expected, bounds.values)
    judgement.hold("loss", actual_loss, loss, bounds.values)
    if bounds.gradients is not None:
        judgement.hold_all("gradient", actual, gradients, bounds.gradients)

    trained, means = reference_epoch(workload, start, data, masks)
    session.stage(data.dataset)
    session.stage_batches(data.batches)
    session.reset(start)
    for number in range(STEPS):
        session.train_step(number)
    session.synchronise()
    if bounds.weights is not None:
        judgement.hold_all("weights after 20 steps,", session.get_weights(), trained, bounds.weights)
    session.reset(start)
    epoch = session.epoch(data.batches)
    if bounds.weights is not None:
        judgement.hold_all("weights after an epoch,", session.get_weights(), trained, bounds.weights)
    judgement.hold_all("training", _arrays(epoch), _arrays(means), bounds.metrics)

    session.set_masks(None)
    session.reset(start)
    batches = list(data.batches)
    if judgement.precision != "float64" and isinstance(workload.data, Reviews):
        # only reviews have a short last batch, and it must not weigh like a whole one; one precision is enough to see
        batches.append(batches[0][: batch_size(workload, share=0.5)])
    picked = np.concatenate(batches)
    everything, labels = data.dataset.gather(picked)
    expected_metrics = reference.metrics(workload, reference.forward(workload, start, everything), labels)
    judgement.hold_all("evaluation", _arrays(session.evaluate(batches)), _arrays(expected_metrics), bounds.metrics)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A small data set of the workload's shape, and the batches to train on."""

    dataset: Dataset
    batches: Sequence[Indices]

    def batch(self, number: int) -> tuple[NDArray[np.generic], NDArray[np.floating]]:
        """Inputs and targets of one batch."""
        return self.dataset.gather(self.batches[number])


def batch_size(workload: Workload, share: float = 1.0) -> int:
    """Samples in a batch of the gate, or in that share of one; they divide by the workload's devices."""
    of_device = BATCH if workload.devices == 1 else max(2, -(-BATCH // workload.devices))
    return workload.devices * int(share * of_device)


def problem(workload: Workload) -> Problem:
    """Made-up data that reaches what real data reaches: padding in front, repeated tokens, targets of both signs."""
    size = batch_size(workload)
    random = np.random.RandomState([SEED, 1])
    source = Source("synthetic", "made up for the parity gate", ())
    if isinstance(workload.data, Reviews):
        rows = STEPS * size
        tokens = random.zipf(1.3, size=(rows, workload.data.time_steps)) % workload.data.vocabulary
        lengths = random.randint(workload.data.time_steps // 10, 2 * workload.data.time_steps, size=rows)
        tokens[np.arange(workload.data.time_steps) < workload.data.time_steps - lengths[:, None]] = 0
        labels = random.randint(0, 2, size=rows).astype(np.float32)
        dataset = Dataset(source, tokens.astype(np.int32), labels, None, {"train": (0, rows)}, size, STEPS)
        order = np.arange(rows, dtype=np.int32)
    else:
        series = workload.data
        rows = series.lookback + 500
        # independent readings, not a smooth curve: neighbouring windows then pull the gradients different ways
        readings = random.standard_normal((rows, series.features)).astype(np.float32)
        targets = random.standard_normal(rows).astype(np.float32)
        offsets = np.arange(-series.lookback, 0, series.step, dtype=np.int32)
        dataset = Dataset(source, readings, targets, offsets, {"train": (series.lookback, rows)}, size, STEPS)
        order = random.randint(series.lookback, rows, size=STEPS * size, dtype=np.int32)
    return Problem(dataset, np.split(order, STEPS))


def start_weights(workload: Workload) -> dict[str, NDArray[np.float32]]:
    """Initial weights, moved to where faults show.

    Biases are random: at zero, one in the wrong place would not show. A classifier's last bias puts half of its outputs
    on either side of the threshold: if all were on one side, an accuracy over wrong pairs could come out right. For the
    published head that is also where it has a gradient at all.
    """
    start = weights.initial_weights(workload, SEED)
    random = np.random.RandomState([SEED, 2])
    for name, value in start.items():
        if name.endswith(".bias"):
            value += random.uniform(-0.1, 0.1, value.shape).astype(np.float32)
    if workload.head is not None:
        threshold = 0.0 if workload.head == "logits" else 0.5
        outputs = reference.forward(workload, start, problem(workload).batch(0)[0])
        start[f"{workload.layers[-1].name}.bias"] += np.float32(threshold - np.median(outputs))
    return start


def reference_epoch(
    workload: Workload, start: Arrays, data: Problem, masks: Arrays | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """The reference's weights after the problem's batches, and the means of its metrics while it trained."""
    trained = {name: value.astype(np.float64) for name, value in start.items()}
    squares = {name: np.zeros_like(value) for name, value in trained.items()}
    totals = dict.fromkeys(workload.metrics, 0.0)
    for number in range(len(data.batches)):
        inputs, targets = data.batch(number)
        predictions, _, gradients = reference.loss_and_gradients(workload, trained, inputs, targets, masks)
        for name, value in reference.metrics(workload, predictions, targets).items():
            totals[name] += value / len(data.batches)
        trained, squares = reference.rmsprop_step(workload.optimizer, trained, squares, gradients)
    return trained, totals


def shortened(workload: Workload) -> Workload:
    """A recurrent workload over a fifth of its time steps, `SHORTEST` at least; any other as it is.

    The recurrence is one formula repeated: what 74 steps show in float64, 10 show too, and a compiler that unrolls
    them is done in a seventh of the time. `--full` and the float32 checks leave nothing out.
    """
    if not any(isinstance(layer, Recurrent) for layer in workload.layers):
        return workload
    steps = max(workload.data.time_steps // 5, min(SHORTEST, workload.data.time_steps))
    if isinstance(workload.data, Reviews):
        return dataclasses.replace(workload, data=dataclasses.replace(workload.data, time_steps=steps))
    series = dataclasses.replace(workload.data, lookback=steps * workload.data.step)
    return dataclasses.replace(workload, data=series)


def _arrays(metrics: dict[str, float]) -> Arrays:
    return {name: np.asarray(value) for name, value in metrics.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the gate for one arm and writes its record; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.parity")
    parser.add_argument("--workload", required=True)
    parser.add_argument("--arm", required=True)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--head", choices=get_args(Head))
    parser.add_argument("--gate", choices=get_args(Gate))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="float64 over all time steps of a recurrent workload too")
    parser.add_argument("--parent", type=int, help="process to die with")
    parser.add_argument("--place", type=int, default=0, help="among the processes that train together; 0 reports")
    parser.add_argument("--out", type=Path, required=True, help="file of the parity record, named after its id")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with_parent(options.parent)
    started = time.perf_counter()
    try:
        workload = load(options.workload).with_settings(head=options.head, gate=options.gate)
        checks = judge(arm(options.arm, options.device), workload, options.device, options.threads, full=options.full)
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    failed = next((check for check in checks if not check.passed), None)
    notes = []
    if not options.full and shortened(workload) != workload:
        notes.append(f"float64 over {shortened(workload).data.time_steps} of {workload.data.time_steps} time steps")
    verdict = Parity(
        schema=record.SCHEMA,
        id=options.out.stem,
        workload=key(workload),
        arm=options.arm,
        device=options.device,
        digest=workload.digest(),
        passed=failed is None,
        reason=None if failed is None else describe(failed),
        checks=tuple(checks),
        notes=tuple(notes),
        wall_s=time.perf_counter() - started,
    )
    if not options.place:
        record.write(options.out, verdict)
        worst = max(checks, key=lambda check: check.nearness)
        said = "passed" if verdict.passed else verdict.reason
        print(f"{verdict.id}: {said}; nearest to its bound: {describe(worst)}")
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
