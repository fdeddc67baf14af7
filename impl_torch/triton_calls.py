"""The forms of `torch-tuned` on a CUDA device, under the names and with the signatures of `native/native.cpp`."""

from impl_torch.triton_convolution import convolution, convolution_backward, look_up, look_up_backward
from impl_torch.triton_recurrence import gru, gru_backward

__all__ = ["convolution", "convolution_backward", "gru", "gru_backward", "look_up", "look_up_backward"]
