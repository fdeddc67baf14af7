// A convolution over time with relu and the maximum of every `size` time steps, in one pass, and its gradient:
//
//   y[b,p,f] = relu(max over j < size of sum over k < w, c of x[b, p·size + j + k, c] W[f,k,c] + bias[f])
//
// relu and maximum commute. A window of x is one row of w·C values in memory, so no window is ever copied. Of each maximum
// only the first j that reaches it has a gradient: the way back touches one window for each y, instead of `size`.
#pragma once

#include <omp.h>

#include "product.h"

struct Sizes {
  long samples, steps, features, filters, width, size;
  long pooled() const { return (steps - width + 1) / size; }
  long outputs() const { return pooled() * filters; }  // of a sample
  long length() const { return width * features; }     // of a window
};

// The maximum over `size` rows of `rows` (pooled·size, filters): y (pooled, filters), and the j it was found at. NaN is kept.
template <typename S>
void pool(const S* rows, const S* bias, const Sizes& of, S* y, int* where) {
  for (long p = 0; p < of.pooled(); ++p, y += of.filters, where += of.filters) {
    for (long f = 0; f < of.filters; ++f) y[f] = rows[p * of.size * of.filters + f], where[f] = 0;
    for (long j = 1; j < of.size; ++j) {
      const S* next = rows + (p * of.size + j) * of.filters;
#pragma omp simd
      for (long f = 0; f < of.filters; ++f) {
        const bool larger = next[f] > y[f] || next[f] != next[f];
        y[f] = larger ? next[f] : y[f];
        where[f] = larger ? int(j) : where[f];
      }
    }
    for (long f = 0; f < of.filters; ++f) y[f] = y[f] + bias[f] < 0 ? S(0) : y[f] + bias[f];
  }
}

// `fill(b, rows)` writes what sample b has before its maxima, (pooled·size, filters) → y (B,P,F), where (B,P,F).
template <typename S, typename Fill>
Tensors pooled(const Sizes& of, const Tensor& bias, Fill fill) {
  const Tensor y = at::empty({of.samples, of.pooled(), of.filters}, bias.options());
  const Tensor where = at::empty_like(y, at::kInt);
#pragma omp parallel
  {
    std::vector<S> rows((of.pooled() * of.size + ROWS) * of.filters);
#pragma omp for schedule(static)
    for (long b = 0; b < of.samples; ++b) {
      fill(b, rows.data());
      pool(rows.data(), values<S>(bias), of, values<S>(y) + b * of.outputs(), values<int>(where) + b * of.outputs());
    }
  }
  return {y, where};
}

// x (B,T,C), kernel (F,w,C), bias (F) → y, where.
template <typename S>
Tensors convolution(const Tensor& x, const Tensor& kernel, const Tensor& bias, int64_t size) {
  const Sizes of{x.size(0), x.size(1), x.size(2), kernel.size(0), kernel.size(1), size};
  const Packed<S> w(values<S>(kernel), of.length(), of.filters, 1, of.length());
  const long used = of.pooled() * of.size;
  const S* series = values<S>(x);
  return pooled<S>(of, bias, [&](long b, S* rows) {
    for (long t = 0; t < used; t += ROWS)
      product(series + (b * of.steps + t) * of.features, of.features, used - t, w, rows + t * of.filters);
  });
}

// to += the sum of `count` rows, each times a factor: four at a time, since `to` is read and written anew each time. Both
// arrays have room for three more.
template <typename S>
void add(S* to, long length, const S** rows, S* factors, long count) {
  for (long n = count; n % 4; ++n) rows[n] = rows[0], factors[n] = 0;
  for (long n = 0; n < count; n += 4) {
    const S *a = rows[n], *b = rows[n + 1], *c = rows[n + 2], *d = rows[n + 3];
    const S of_a = factors[n], of_b = factors[n + 1], of_c = factors[n + 2], of_d = factors[n + 3];
#pragma omp simd
    for (long k = 0; k < length; ++k) to[k] += of_a * a[k] + of_b * b[k] + of_c * c[k] + of_d * d[k];
  }
}

// g (B,P,F), the gradient before relu → dx unless it is not wanted, dkernel. Threads' sums are added in the threads' order:
// two runs give the same bits. What counts is collected first, zeros being written over: a branch would be taken at random.
template <typename S>
Tensors convolution_backward(const Tensor& g, const Tensor& where, const Tensor& x, const Tensor& kernel, int64_t size,
                             bool wants_dx) {
  const Sizes of{x.size(0), x.size(1), x.size(2), kernel.size(0), kernel.size(1), size};
  const Tensor dx = wants_dx ? at::zeros_like(x) : Tensor();
  const Tensor dkernels = at::zeros({omp_get_max_threads(), of.filters, of.width, of.features}, x.options());
  const S *series = values<S>(x), *weights = values<S>(kernel);
  S *to_x = wants_dx ? values<S>(dx) : nullptr, *to_kernels = values<S>(dkernels);
#pragma omp parallel for schedule(static)
  for (long b = 0; b < of.samples; ++b) {
    const S* back = values<S>(g) + b * of.outputs();
    const int* found = values<int>(where) + b * of.outputs();
    const long first = b * of.steps * of.features, thread = omp_get_thread_num();
    std::vector<const S*> rows(std::max(of.pooled(), of.filters) + 4);
    std::vector<S> factors(rows.size());
    for (long f = 0; f < of.filters; ++f) {
      long count = 0;
      for (long p = 0, i = f; p < of.pooled(); ++p, i += of.filters) {
        rows[count] = series + first + (p * size + found[i]) * of.features, factors[count] = back[i];
        count += back[i] != 0;
      }
      add(to_kernels + (thread * of.filters + f) * of.length(), of.length(), rows.data(), factors.data(), count);
    }
    for (long t = 0; wants_dx && t < of.pooled() * size; ++t) {
      long count = 0;
      for (long f = 0, i = t / size * of.filters; f < of.filters; ++f, ++i) {
        rows[count] = weights + f * of.length(), factors[count] = back[i];
        count += (found[i] == t % size) & (back[i] != 0);
      }
      add(to_x + first + t * of.features, of.length(), rows.data(), factors.data(), count);
    }
  }
  return {dx, dkernels.sum(0)};
}
