"""Puts one Keras backend through its paces, for tests: JSON of what was seen on standard output.

python drive_keras.py tensorflow|jax|torch
"""

import functools
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent / "faults"))
sys.argv, backend = sys.argv[:1], sys.argv[1]

import judge_small  # noqa: E402
import keras  # noqa: E402
from keras.src.backend.common import dtypes  # noqa: E402

from bench import parity, reference, weights  # noqa: E402
from bench.implementation import Arm, Setup, arm, arms, open_session  # noqa: E402
from bench.parity_judge import Judge  # noqa: E402
from bench.parity_sampler import hold_sampler  # noqa: E402
from bench.workload import Workload  # noqa: E402

ARM = arm(f"keras-{backend}")
OTHERS = {"tensorflow", "torch", "jax"} - {backend, "jax"}  # Keras imports an installed JAX by itself


def opened(spec: Workload, precision: str = "float32", seed: int = 0, contestant: Arm = ARM):
    return open_session(Setup(contestant, spec, "cpu", 1, precision, seed))


def staged(spec: Workload, precision: str = "float32", seed: int = 0):
    session, problem = opened(spec, precision, seed), parity.problem(spec)
    session.reset(parity.start_weights(spec))
    session.stage(problem.dataset)
    session.stage_batches(problem.batches)
    return session, problem


def worst(found, expected) -> float:
    """Largest absolute difference of any weight."""
    return max(float(np.max(np.abs(found[name] - expected[name]))) for name in expected)


def error_of(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def rows(judgement: Judge) -> list[list]:
    return [[c.precision, c.quantity, c.error, c.bound, c.passed] for c in judgement.checks]


def trained_in_float64(spec: Workload, contestant: Arm = ARM) -> list[list]:
    judgement = Judge("float64")
    parity.hold_session(judgement, opened(spec, "float64", contestant=contestant), spec)
    return rows(judgement)


def differentiated_in_float64(spec: Workload) -> list[list]:
    """Loss, gradients and metrics only."""
    judgement, start = Judge("float64"), parity.start_weights(spec)
    session, problem = staged(spec, "float64")
    inputs, targets = problem.batch(0)
    masks = weights.sample_masks(spec, len(inputs), 3) or None
    session.set_masks(masks)
    predictions, loss, gradients = reference.loss_and_gradients(spec, start, inputs, targets, masks)
    found_predictions, found_loss, found = session.loss_and_gradients(inputs, targets)
    judgement.hold("predictions", found_predictions, predictions, 1e-9)
    judgement.hold("loss", found_loss, loss, 1e-9)
    judgement.hold_all("gradient", found, gradients, 1e-9)
    metrics = reference.metrics(spec, reference.forward(spec, start, inputs), targets)
    judgement.hold_all(
        "evaluation",
        {name: np.asarray(value) for name, value in session.evaluate(problem.batches[:1]).items()},
        {name: np.asarray(value) for name, value in metrics.items()},
        1e-9,
    )
    return rows(judgement)


def mixed_paths(spec: Workload) -> float:
    """20 steps by train_step, fit and train_step again, with evaluation and a look at the weights between."""
    session, problem = staged(spec)
    for number in range(5):
        session.train_step(number)
    session.evaluate(problem.batches[:2])
    session.predict(problem.batch(0)[0])
    session.epoch(problem.batches[5:15])
    session.train_step(15)
    session.get_weights()
    for number in range(16, 20):
        session.train_step(number)
    session.synchronise()
    expected, _ = parity.reference_epoch(spec, parity.start_weights(spec), problem, None)
    return worst(session.get_weights(), expected)


def own_masks(spec: Workload) -> dict:
    inputs = parity.problem(spec).batch(0)[0]
    given = weights.sample_masks(spec, len(inputs), 3)
    start = parity.start_weights(spec)

    def draw(seed: int):
        session = opened(spec, seed=seed)
        session.reset(start)
        return session, session.training_forward(inputs)[1]

    (session, first), (_, again), (_, other) = draw(1), draw(1), draw(2)
    second = session.training_forward(inputs)[1]
    session.set_masks(given)
    predictions, used = session.training_forward(inputs)
    session.set_masks(None)
    drawn = session.training_forward(inputs)[1]
    name = next(iter(first))
    judgement = Judge("float32")
    hold_sampler(judgement, session, spec, inputs, start)
    return {
        "sampler": rows(judgement),
        "same seed": bool(np.array_equal(first[name], again[name])),
        "other seed": bool(np.array_equal(first[name], other[name])),
        "next draw": bool(np.array_equal(first[name], second[name])),
        "after given ones": bool(np.array_equal(drawn[name], used[name])),
        "given are used": worst(used, given),
        "predictions": float(np.max(np.abs(predictions - reference.forward(spec, start, inputs, given)))),
    }


def steps_follow_masks(spec: Workload) -> list[float]:
    """How far one step from the same start goes apart under no masks, one set, the same set, and another set."""
    session, _ = staged(spec)
    ends = []
    for masks in (None, 3, 3, 4):
        session.set_masks(None if masks is None else weights.sample_masks(spec, parity.BATCH, masks))
        session.reset(parity.start_weights(spec))
        session.train_step(0)
        ends.append(session.get_weights())
    return [worst(a, b) for a, b in itertools.pairwise(ends)]


def per_occurrence(spec: Workload) -> dict[str, float]:
    """Distance of the weights from the reference after 20 steps: embedding gradient dense, and as Keras has it."""
    from impl_keras import optimizer

    expected, _ = parity.reference_epoch(spec, parity.start_weights(spec), parity.problem(spec), None)
    whole, found = optimizer.make_optimizer, {}
    for dense in (True, False) if backend == "tensorflow" else ():
        optimizer.make_optimizer = lambda of, dense=dense: whole(of, dense_embedding_gradient=dense)
        session, _ = staged(spec)
        for number in range(parity.STEPS):
            session.train_step(number)
        found[str(dense)] = worst(session.get_weights(), expected)
    optimizer.make_optimizer = whole
    return found


def shapes_that_differ() -> dict[str, str]:
    from impl_keras import losses

    flat, column = keras.ops.zeros((4,)), keras.ops.zeros((4, 1))
    seen = {}
    for spec in (CONV, CONV.with_settings(head="as_published"), CONV_ONLY):
        kind = f"{spec.loss} {spec.head}"
        for name, function in [("loss", losses.loss(spec)), *((m.name, m.update_state) for m in losses.metrics(spec))]:
            seen[f"{kind} {name}"] = error_of(lambda f=function: f(flat, column))
            seen[f"{kind} {name}, other way"] = error_of(lambda f=function: f(column, flat))
    return seen


def tuned_pipelines() -> dict[str, list[bool | None]]:
    """Whether tf.data tunes what fit and evaluate read, by arm; None where nobody has said that it should not."""
    found = {}
    for name in ("keras-tensorflow", "keras-published") if backend == "tensorflow" else ():
        read = found.setdefault(name, [])
        for spec in (CONV, CONV_ONLY):
            session, problem = opened(spec, contestant=arm(name)), parity.problem(spec)
            session.stage(problem.dataset)
            for method in ("fit", "evaluate"):
                noted = functools.partial(_noting, read, getattr(session.model, method))
                setattr(session.model, method, noted)
            session.epoch(problem.batches)
            session.evaluate(problem.batches)
    return found


def _noting(read: list[bool | None], whole: Callable, data: object, **others: object) -> object:
    read.append(data.options().autotune.enabled)
    return whole(data, **others)


CONV, CONV_ONLY, CONV_GRU = (judge_small.small(name) for name in ("conv", "conv_only", "conv_gru"))
COMPARATORS = [judge_small.small(name) for name in ("lstm", "gru", "conv_dilated")]
other_arm = next(other for other in arms().values() if other.framework != backend and "keras" in other.distributions)
print(
    json.dumps(
        {
            # float32 first: 64-bit modes are process-wide
            "mixed paths": mixed_paths(CONV_ONLY),
            "masks": own_masks(CONV_GRU),
            "steps follow masks": steps_follow_masks(CONV_GRU),
            "per occurrence": per_occurrence(CONV),
            "shapes that differ": shapes_that_differ(),
            "tuned pipelines": tuned_pipelines(),
            "no gpu": error_of(lambda: open_session(Setup(ARM, CONV_ONLY, "gpu", 1, "float32"))),
            "wrong backend": error_of(lambda: open_session(Setup(other_arm, CONV_ONLY, "cpu", 1, "float32"))),
            "wrong masks": error_of(lambda: opened(CONV_ONLY).set_masks({"gru.input": np.ones((3, 2, 2))})),
            "versions": opened(CONV_ONLY).versions(),
            "table in float32": dtypes.BIT64_TO_BIT32_DTYPE["float64"],
            "parity": {spec.name: trained_in_float64(spec) for spec in (CONV, CONV_ONLY, CONV_GRU)},
            "parity as_published": differentiated_in_float64(CONV.with_settings(head="as_published")),
            **{f"parity {spec.name}": differentiated_in_float64(spec) for spec in COMPARATORS},
            "parity book": trained_in_float64(CONV.with_settings(optimizer="book")),
            "parity published": {
                spec.name: trained_in_float64(spec, arm("keras-published"))
                for spec in COMPARATORS
                if backend == arm("keras-published").framework
            },
            "parity hard gate": differentiated_in_float64(CONV_GRU.with_settings(gate="hard_sigmoid")),
            "float32 after float64": {
                "session": str(opened(CONV_ONLY).get_weights()["dense.kernel"].dtype),
                "table": dtypes.BIT64_TO_BIT32_DTYPE["float64"],
            },
            "other frameworks imported": sorted(OTHERS & set(sys.modules)),
        }
    )
)
