// The functions PyTorch calls, as torch.ops.bench_float32 and bench_float64: shapes are checked in impl_torch/fused.py,
// types here.
#include <torch/library.h>

#include "recurrence.h"
#include "rmsprop.h"
#include "table.h"

template <typename S>
void define(torch::Library& library) {
  library.def("convolution", &convolution<S>);
  library.def("convolution_backward", &convolution_backward<S>);
  library.def("look_up", &look_up<S>);
  library.def("look_up_backward", &look_up_backward<S>);
  library.def("gru", &gru<S>);
  library.def("gru_backward", &gru_backward<S>);
  library.def("rmsprop", &rmsprop<S>);
  library.def("times", &times<S>);
}

TORCH_LIBRARY(bench_float32, library) { define<float>(library); }
TORCH_LIBRARY(bench_float64, library) { define<double>(library); }
