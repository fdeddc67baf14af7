"""How fast the arm's framework multiplies matrices here: the most its training steps can reach. No model, no data."""

import time
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.implementation import Device, open_ceiling
from bench.measure.subject import Subject
from bench.measure.timing import timed
from bench.record import CEILING

SIZES: dict[Device, tuple[int, ...]] = {"cpu": (512, 1024, 2048), "gpu": (2048, 4096, 8192)}
"""Of the square matrices: the smallest fit into a cache, the largest keep every core at work."""
TRIES, ROUNDS = 3, 10


def test_ceiling(request: pytest.FixtureRequest, subject: Subject) -> None:
    arm, device = subject.arm, subject.request.device
    if not arm.ceiling:
        pytest.skip(f"{arm.name} has no matrix product to measure")
    subject.ledger.mark("suite")
    ceiling = open_ceiling(arm, device, subject.threads)
    subject.ledger.mark("import")
    products = {size: ceiling(size) for size in SIZES[device]}
    best = max(products, key=lambda size: flops(size) / _shortest_s(products[size]))
    subject.ledger.mark("ceiling")
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    timed(benchmark, subject, CEILING, products[best], steps=1, samples=1, rounds=ROUNDS)
    benchmark.extra_info.update(size=best, flops=flops(best))


def flops(size: int) -> int:
    """Of one product: a multiplication and an addition for each of `size` cubed pairs."""
    return 2 * size**3


def _shortest_s(product: Callable[[], object]) -> float:
    """Of a few, after one that compiles; only to choose a size by."""
    product()
    times_s = []
    for _ in range(TRIES):
        start_s = time.perf_counter()
        product()
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)
