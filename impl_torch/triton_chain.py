"""Operations of which each needs the one before, on a CUDA device: how long one takes, nothing else goes on."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _chain(start, end, operations):
    value = tl.load(start)
    for _ in range(operations):
        value = value * 0.5 + 1.0  # one instruction, a fused multiplication and addition
    tl.store(end, value)


def chain(start: Tensor, operations: int) -> Tensor:
    """`start` (1,) after so many multiplications by 1/2 and additions of 1."""
    end = torch.empty_like(start)
    _chain[(1,)](start, end, operations, num_warps=1)
    return end
