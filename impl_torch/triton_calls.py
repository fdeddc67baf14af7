"""The forms of `torch-tuned` on a CUDA device, under the names and with the signatures of `native/native.cpp`."""

from torch import Tensor

from impl_torch.triton_convolution import convolution, convolution_backward, look_up, look_up_backward
from impl_torch.triton_recurrence import gru, gru_backward

__all__ = ["convolution", "convolution_backward", "gru", "gru_backward", "look_up", "look_up_backward", "times"]


def times(rows: Tensor, small: Tensor, turned: bool) -> Tensor:
    """rows (S, K), small (K, N), or (N, K) and `turned` → their product (S, N), as PyTorch's library computes it."""
    return rows.mm(small.T if turned else small)
