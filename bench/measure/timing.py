"""The one timing loop of the suite. pytest-benchmark reads the clock around `target`; nothing else is in between.

`target` ends by waiting for the device. Garbage collection stays on, as it is for a user who trains; it starts from a
clean slate before each phase. Warm-up rounds are rounds like the others, kept in the record and marked by number.
"""

import gc
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.subject import Subject


def timed(
    benchmark: BenchmarkFixture,
    subject: Subject,
    phase: str,
    target: Callable[[], Any],
    *,
    steps: int,
    samples: int,
    rounds: int = 1,
    warmup_rounds: int = 0,
    after_round: Callable[[], None] | None = None,
) -> list[float]:
    """Measures `target` in `warmup_rounds + rounds` rounds and returns the seconds of each.

    `steps` and `samples` are those of one round. `after_round` runs between two rounds, outside the clock.
    """
    gc.collect()
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        target,
        setup=subject.opened.synchronise if subject.opened else None,
        teardown=after_round,
        rounds=warmup_rounds + rounds,
        warmup_rounds=0,
        iterations=1,
    )
    benchmark.extra_info.update(
        phase=phase, warmup_rounds=warmup_rounds, steps_per_round=steps, samples_per_round=samples
    )
    return last_rounds_s(benchmark)


def last_rounds_s(benchmark: BenchmarkFixture) -> list[float]:
    """Seconds of the rounds measured so far."""
    assert benchmark.stats is not None, "pytest-benchmark is disabled; leave out --benchmark-disable"
    return list(benchmark.stats.stats.data)
