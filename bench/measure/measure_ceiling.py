"""What the machine gives the arm's framework at most: arithmetic, memory, operations in a row. No model, no data."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.implementation import Device, open_ceiling
from bench.measure.subject import Subject
from bench.measure.timing import timed
from bench.record import CEILING

SIZES: dict[Device, tuple[int, ...]] = {"cpu": (512, 1024, 2048), "gpu": (2048, 4096, 8192)}
"""Of the square matrices: the smallest fit into a cache, the largest keep every core at work."""
MOVED_BYTES: dict[Device, tuple[int, ...]] = {
    "cpu": tuple(4**n * 2**18 for n in range(6)),  # 256 KiB to 256 MiB: in a cache of a core, in none
    "gpu": tuple(4**n * 2**20 for n in range(6)),  # 1 MiB to 1 GiB
}
OPERATIONS = 1_000_000
"""In a row."""
TRIES, ROUNDS = 3, 10


def test_ceiling(request: pytest.FixtureRequest, subject: Subject) -> None:
    arm, device = subject.arm, subject.request.device
    if not arm.ceiling:
        pytest.skip(f"{arm.name} has no matrix product to measure")
    subject.ledger.mark("suite")
    ceilings = open_ceiling(arm, device, subject.threads)
    subject.ledger.mark("import")
    products = {size: ceilings.product(size) for size in SIZES[device]}
    best = max(products, key=lambda size: flops(size) / min(rounds_s(products[size], TRIES)))
    streams = {str(moved): rounds_s(ceilings.stream(moved), ROUNDS) for moved in MOVED_BYTES[device]}
    chain = ceilings.chain or (in_a_row if device == "cpu" else None)
    chains = rounds_s(chain(OPERATIONS), ROUNDS) if chain else []
    subject.ledger.mark("ceiling")
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    timed(benchmark, subject, CEILING, products[best], steps=1, samples=1, rounds=ROUNDS)
    benchmark.extra_info.update(
        size=best, flops=flops(best), stream_s=streams, chain_s=chains, chain_operations=OPERATIONS
    )


def flops(size: int) -> int:
    """Of one product: a multiplication and an addition for each of `size` cubed pairs."""
    return 2 * size**3


def in_a_row(operations: int) -> Callable[[], object]:
    """float32 multiplications on one core of which each needs the product before; no framework has a say in it.

    The trap: sums are taken in eight parts, and running products are written to memory and read again.
    """
    factors = np.ones(operations, np.float32)
    return lambda: np.multiply.reduce(factors)


def rounds_s(operation: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of so many calls, after one that compiles and touches its memory."""
    operation()
    times_s = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        operation()
        times_s.append(time.perf_counter() - start_s)
    return times_s
