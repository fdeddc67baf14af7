// The optimiser: one pass over the rows of a weight that have a gradient.
#pragma once

#include <cmath>

#include "product.h"

// Of w and its square v the rows with these numbers, g (R,…): v = keep v + add g²;  w = w - rate g / (sqrt(v + within) + beside).
template <typename S>
void rmsprop(const Tensor& w, const Tensor& v, const Tensor& g, const Tensor& rows, double rate, double keep, double add,
             double within, double beside) {
  const long count = rows.numel(), width = g.numel() / std::max(count, 1L), *row = values<long>(rows);
  S *weights = values<S>(w), *squares = values<S>(v);
  const S* gradients = values<S>(g);
  const S kept = keep, added = add, taken = rate, inside = within, outside = beside;
#pragma omp parallel for schedule(static) if (g.numel() > 10000)
  for (long r = 0; r < count; ++r) {
    S *of_w = weights + row[r] * width, *of_v = squares + row[r] * width;
    const S* of_g = gradients + r * width;
#pragma omp simd
    for (long n = 0; n < width; ++n) {
      of_v[n] = kept * of_v[n] + added * of_g[n] * of_g[n];
      of_w[n] -= taken * of_g[n] / (std::sqrt(of_v[n] + inside) + outside);
    }
  }
}
