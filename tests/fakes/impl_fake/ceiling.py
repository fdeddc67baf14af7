"""A machine that only spins: the middle one of the CPU's matrices is the fastest, the smallest array is."""

import time
from collections.abc import Callable

from bench.implementation import Ceilings, Device

FLOPS = {512: 1e12, 1024: 4e12, 2048: 2e12}
"""Per second, by size of the matrices."""
BYTES_PER_S = 1e12
"""Of the smallest array; one four times as large moves half as many a second."""


def open_ceiling(device: Device, threads: int) -> Ceilings:
    """The ceilings of any fake arm."""
    assert device == "cpu"
    assert threads > 0
    return Ceilings(
        product=lambda size: spin(2 * size**3 / FLOPS[size]),
        stream=lambda moved: spin(moved / BYTES_PER_S * (moved / 2**18) ** 0.5),
    )


def spin(seconds: float) -> Callable[[], None]:
    """A function that takes so long."""

    def run() -> None:
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            pass

    return run
