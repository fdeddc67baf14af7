"""Where native PyTorch computes, on how many threads, how precisely: the same in training and for the ceiling."""

import torch

from bench.implementation import Device


def configure(device: Device, threads: int) -> torch.device:
    """Sets threads, turns TF32 off; a RuntimeError says so when the device asked for is not there."""
    if device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no CUDA device; use a CUDA build of PyTorch and a visible GPU")
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:  # may be set once in a process; by default all cores' worth
        torch.set_num_interop_threads(threads)
    torch.set_float32_matmul_precision("highest")  # TF32 off for products …
    torch.backends.cudnn.allow_tf32 = False  # … and for convolutions, where PyTorch has it on
    return torch.device("cuda" if device == "gpu" else "cpu")
