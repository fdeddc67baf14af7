"""Where native PyTorch computes, on how many threads, how precisely: the same in training and for the ceiling."""

from collections.abc import Callable

import torch

from bench.implementation import Device, Kernel
from bench.workload import Precision


def configure(device: Device, threads: int, precision: Precision) -> torch.device:
    """Sets threads, turns TF32 off or on; a RuntimeError says so when the device asked for is not there."""
    if device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no CUDA device; use a CUDA build of PyTorch and a visible GPU")
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:  # may be set once in a process; by default all cores' worth
        torch.set_num_interop_threads(threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")  # TF32 for products …
    torch.backends.cudnn.allow_tf32 = precision == "tf32"  # … and for convolutions, where PyTorch has it on
    return torch.device("cuda" if device == "gpu" else "cpu")


def kernels(run: Callable[[], None]) -> list[Kernel]:
    """What runs on the CUDA device meanwhile, as torch.profiler sees it."""
    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
        run()
    return [
        Kernel(event.name, event.time_range.start * 1e-6, event.time_range.end * 1e-6)  # µs
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]
