// An embedding and the convolution behind it, rewritten. A token's embedding meets each tap of the kernel as the same
// product wherever it stands, so that product is taken once for every token a batch uses, s(b,t) being its place:
//
//   P[s, k, f] = sum over c of E[s,c] W[f,k,c]     y[b,p,f] = relu(max over j of sum over k of P[s(b,t+k), k, f] + bias[f])
//
// with t = p·size + j. Here stands what is no product: y from P, and dP, the sum of what all places of a token get.
#pragma once

#include "convolution.h"

template <typename S>
constexpr long LINE = 64 / sizeof(S);  // of the cache

// to += from, `count` values: by whole lines, whose length the compiler knows.
template <typename S>
inline void add(S* to, const S* from, long count) {
  long f = 0;
  for (; f + LINE<S> <= count; f += LINE<S>)
#pragma omp simd
    for (long i = f; i < f + LINE<S>; ++i) to[i] += from[i];
  for (; f < count; ++f) to[f] += from[f];
}

// Calls f(t, k) for every time step t and tap k from `low` to `high`, place by place: what belongs to the token at t + k lies
// together, and each of them is looked up once.
template <typename F>
void for_taps(const Sizes& of, long low, long high, F f) {
  const long used = of.pooled() * of.size;
  for (long place = low; place < used + high - 1; ++place)
    for (long k = std::max(low, place - used + 1); k < std::min(high, place + 1); ++k) f(place - k, k);
}

// places (B,T), products (S,w·F), bias (F) → y (B,P,F), where (B,P,F).
template <typename S>
Tensors look_up(const Tensor& places, const Tensor& products, const Tensor& bias, int64_t size) {
  const Sizes of{places.size(0), places.size(1), 1, bias.size(0), products.size(1) / bias.size(0), size};
  const int* s = values<int>(places);
  const S* product = values<S>(products);
  return pooled<S>(of, bias, [&](long b, S* rows) {
    std::fill_n(rows, of.outputs() * of.size, S(0));
    for_taps(of, 0, of.width, [&](long t, long k) {
      const S* taken = product + (s[b * of.steps + t + k] * of.width + k) * of.filters;
      add(rows + t * of.filters, taken, of.filters);
    });
  });
}

// g (B,P,F) → dproducts. Each job has some taps of the filters of a cache line to itself: nobody else adds to them. What
// comes back to every time step of a sample is written down first, so that whole lines are added.
template <typename S>
Tensor look_up_backward(const Tensor& g, const Tensor& where, const Tensor& places, const Tensor& products, int64_t size) {
  const Sizes of{places.size(0), places.size(1), 1, g.size(2), products.size(1) / g.size(2), size};
  const Tensor dproducts = at::zeros_like(products);
  const int *s = values<int>(places), *found = values<int>(where);
  const S* back = values<S>(g);
  S* to = values<S>(dproducts);
  const long lines = (of.filters + LINE<S> - 1) / LINE<S>, used = of.pooled() * size;
  const long parts = std::min(of.width, (omp_get_max_threads() + lines - 1) / lines);
#pragma omp parallel for schedule(static)
  for (long job = 0; job < lines * parts; ++job) {
    const long low = job / parts * LINE<S>, count = std::min(LINE<S>, of.filters - low), part = job % parts;
    std::vector<S> rows(used * LINE<S>);
    for (long b = 0; b < of.samples; ++b) {
      std::fill(rows.begin(), rows.end(), S(0));
      for (long p = 0; p < of.pooled(); ++p)
        for (long f = 0, o = (b * of.pooled() + p) * of.filters + low; f < count; ++f, ++o)
          rows[(p * size + found[o]) * LINE<S> + f] = back[o];
      for_taps(of, part * of.width / parts, (part + 1) * of.width / parts, [&](long t, long k) {
        S* sum = to + (s[b * of.steps + t + k] * of.width + k) * of.filters + low;
        add(sum, rows.data() + t * LINE<S>, count);
      });
    }
  }
  return dproducts;
}
