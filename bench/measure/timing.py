"""The one timing loop of the suite. pytest-benchmark reads the clock around `target`; nothing else is in between.

`target` ends by waiting for the device. Garbage collection stays on, as it is for a user who trains; it starts from a
clean slate before each phase. Warm-up rounds are rounds like the others; where they end is found in the record. Between
two rounds the sentinel looks at the machine, a few times a second.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject

SPAN_OF = {
    "train_step": "train_step",
    "epoch": "epoch",
    "converge": "epoch",
    "validate": "validate",
    "small_step": "checks",
    "aside": "checks",
    "local_step": "checks",
    "ceiling": "ceiling",
    "starts": "checks",
}
"""Part of the ledger that a phase's rounds belong to; `first_step` divides its one round itself."""


def timed(
    benchmark: BenchmarkFixture,
    subject: Subject,
    phase: str,
    target: Callable[[], Any],
    *,
    steps: int,
    samples: int,
    rounds: int = 1,
    after_round: Callable[[], None] | None = None,
) -> list[float]:
    """Measures `target` in so many rounds and returns the seconds of each.

    `steps` and `samples` are those of one round. `after_round` runs between two rounds, outside the clock.
    """
    starts_s: list[float] = []

    def between_rounds() -> None:
        if subject.opened is not None:
            subject.opened.synchronise()
        subject.watch.boundary()
        starts_s.append(time.monotonic() - subject.ledger.zero_s)

    gc.collect()
    subject.watch.boundary()
    subject.ledger.mark("suite")
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        target, setup=between_rounds, teardown=after_round, rounds=rounds, warmup_rounds=0, iterations=1
    )
    if phase in SPAN_OF:
        subject.ledger.mark(SPAN_OF[phase])
    subject.watch.boundary()
    benchmark.extra_info.update(phase=phase, steps_per_round=steps, samples_per_round=samples, starts_s=starts_s)
    return last_rounds_s(benchmark)


def last_rounds_s(benchmark: BenchmarkFixture) -> list[float]:
    """Seconds of the rounds measured so far."""
    assert benchmark.stats is not None, "pytest-benchmark is disabled; leave out --benchmark-disable"
    return list(benchmark.stats.stats.data)
