"""A matrix product that only spins: the middle one of the CPU's sizes is the fastest."""

import time
from collections.abc import Callable

from bench.implementation import Ceiling, Device

FLOPS = {512: 1e12, 1024: 4e12, 2048: 2e12}
"""Per second, by size of the matrices."""


def open_ceiling(device: Device, threads: int) -> Ceiling:
    """The ceiling of any fake arm."""
    assert device == "cpu"
    assert threads > 0

    def ceiling(size: int) -> Callable[[], None]:
        def product() -> None:
            end_s = time.perf_counter() + 2 * size**3 / FLOPS[size]
            while time.perf_counter() < end_s:
                pass

        return product

    return ceiling
