"""Multiplies matrices the way one arm's framework does, for tests: JSON of what was seen on standard output.

python drive_ceiling.py ARM
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from bench.implementation import arm, open_ceiling

SMALL, LARGE = 256, 1024
SMALL_STREAM = 2**22
FRAMEWORKS = {"tensorflow", "torch"}  # not JAX, which Keras imports by itself


def worst(found: object, size: int) -> float:
    """Largest difference from the product in float64, over its largest value."""
    a, b = np.random.default_rng(size).standard_normal((2, size, size), np.float32).astype(np.float64)
    return float(np.max(np.abs(np.asarray(found) - a @ b)) / np.max(np.abs(a @ b)))


def shortest_s(product: Callable[[], object]) -> float:
    product()
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        product()
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)


def busy_cores(product: Callable[[], object]) -> float:
    start_s, begin_s = time.process_time(), time.perf_counter()
    for _ in range(10):
        product()
    return (time.process_time() - start_s) / (time.perf_counter() - begin_s)


def error_of(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


chosen = arm(sys.argv[1])
ceilings = open_ceiling(chosen, "cpu", 1)
small, large = ceilings.product(SMALL), ceilings.product(LARGE)
streams = ceilings.stream(SMALL_STREAM), ceilings.stream(64 * SMALL_STREAM)
first = np.asarray(small()).copy()
print(
    json.dumps(
        {
            "type": str(first.dtype),
            "error": worst(first, SMALL),
            "same again": all(np.array_equal(first, np.asarray(small())) for _ in range(3)),
            "small_s": shortest_s(small),
            "large_s": shortest_s(large),
            "doubled": bool(
                np.all(np.asarray(streams[0]()) == 2) and np.asarray(streams[0]()).nbytes == SMALL_STREAM // 2
            ),
            "small_stream_s": shortest_s(streams[0]),
            "large_stream_s": shortest_s(streams[1]),
            "busy cores": busy_cores(large),
            "no gpu": error_of(lambda: open_ceiling(chosen, "gpu", 1)),
            "other frameworks": sorted((FRAMEWORKS - {chosen.framework}) & set(sys.modules)),
        }
    )
)
