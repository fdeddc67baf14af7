"""The path a cell took on its device: what ran there in a training step, as the framework's own profiler saw it.

The profiler takes its times from the device's clock, which checks the suite's, in the same steps: from the first kernel
to the last no more time can pass than the steps took that were waited for.
"""

from collections import Counter
from collections.abc import Sequence

from bench.errors import BenchError
from bench.implementation import Arm, Kernel
from bench.record import KernelPath
from bench.workload import Workload

LONGER = 0.02
"""By so much of their time steps may last longer by the device's clock: two clocks that are compared once do drift."""
COPIES = ("memcpy", "memset")
"""What the names of those begin with that compute nothing."""
NAMES, NAME_LENGTH = 40, 200
"""What is kept of them: those that took the longest, and of C++ templates the beginning."""


class PathError(BenchError):
    """The arm does not compute where, or by what, it declares."""


def path(kernels: Sequence[Kernel], steps: int, wall_s: float) -> KernelPath:
    """Of what ran in `steps` training steps, which took `wall_s` seconds by the suite's clock, waited for."""
    times, seconds = Counter[str](), Counter[str]()
    for kernel in kernels:
        times[kernel.name[:NAME_LENGTH]] += 1
        seconds[kernel.name[:NAME_LENGTH]] += kernel.end_s - kernel.start_s  # type: ignore[assignment]
    longest = tuple((name, times[name], float(spent_s)) for name, spent_s in seconds.most_common(NAMES))
    span_s = max((each.end_s for each in kernels), default=0.0) - min((each.start_s for each in kernels), default=0.0)
    return KernelPath(steps, wall_s, len(kernels), busy_s(kernels), span_s, longest)


def busy_s(kernels: Sequence[Kernel]) -> float:
    """Seconds in which at least one of them ran: on several streams they overlap."""
    total = until = 0.0
    for kernel in sorted(kernels, key=lambda kernel: kernel.start_s):
        total += max(0.0, kernel.end_s - max(kernel.start_s, until))
        until = max(until, kernel.end_s)
    return total


def check(found: KernelPath, kernels: Sequence[Kernel], arm: Arm, workload: Workload) -> None:
    """Raises a PathError unless the arm computed on the device, by the kernels it declares, within the time it took."""
    if all(kernel.name.lower().startswith(COPIES) for kernel in kernels):
        raise PathError(
            f"{arm.name} computed nothing on the device in {found.steps} training steps that its profiler saw: it "
            "computes elsewhere, or the profiler sees nothing here; see that CUPTI is installed and may be used"
        )
    kinds = {"", *(layer.kind for layer in workload.layers)}
    for kind, declared in arm.kernels.items():
        for name in declared:
            if kind in kinds and not any(name in kernel.name for kernel in kernels):
                raise PathError(
                    f"{arm.name} ran no kernel {name!r} in {found.steps} training steps: not the path it declares"
                    f"{f' for {kind}' if kind else ''}"
                )
    if found.span_s > (1 + LONGER) * found.wall_s:
        raise PathError(
            f"by the device's clock {found.steps} training steps of {arm.name} took {found.span_s * 1e3:.3g} ms, by "
            f"the suite's {found.wall_s * 1e3:.3g} ms: synchronise does not wait for all of them"
        )
