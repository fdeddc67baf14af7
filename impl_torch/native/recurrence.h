// The recurrence of the GRU of bench.layers, all time steps in one call. No sample waits for another, so each thread takes
// ROWS samples through the whole series at a time, with the weights U and their state in its cache. With a, what the inputs
// add to the three gates,
//
//   z = gate(a_z + h·m_z U_z)    r = gate(a_r + h·m_r U_r)    c = tanh(a_h + r·h·m_h U_h)    h' = z h + (1 - z) c
//
// and going back a step, with g' the slope of the gate,
//
//   da_z = dh' (h - c) g'(z)    da_h = dh' (1 - z)(1 - c²)    q = m_h (da_h U_hᵀ)    da_r = q h g'(r)
//   dh = dh' z + q r + m_z (da_z U_zᵀ) + m_r (da_r U_rᵀ)
#pragma once

#include <bit>
#include <cmath>
#include <type_traits>

#include "product.h"

// e^a = 2^n e^r with |r| <= ln 2 / 2, and of that so many terms of its series that the next is lost in rounding. The
// library's own is a call for every value; this is arithmetic, and a loop over it becomes vectors.
template <typename S>
inline S exponential(S a) {
  constexpr bool SINGLE = sizeof(S) == 4;
  constexpr int TERMS = SINGLE ? 7 : 13, BIAS = SINGLE ? 127 : 1023, MANTISSA = SINGLE ? 23 : 52;
  constexpr S MOST = SINGLE ? 87 : 708;  // beyond it the exponent has no bits left
  a = a < -MOST ? -MOST : a > MOST ? MOST : a;
  const S n = std::floor(a * S(1.4426950408889634) + S(0.5));
  const S r = a - n * S(0.693359375) + n * S(2.1219444005469058e-4);  // ln 2 in two parts: n times the first is exact
  S sum = 1;
#pragma GCC unroll 13
  for (int k = TERMS; k > 0; --k) sum = 1 + sum * r * (S(1) / S(k));
  return sum * std::bit_cast<S>((std::conditional_t<SINGLE, int, long>(n) + BIAS) << MANTISSA);
}
// `hard` is 1 or 0: both forms are computed, since a branch would keep the loop around it from becoming vectors.
template <typename S>
inline S gate(S a, S hard) {
  const S line = S(0.2) * a + S(0.5);
  return hard * (line < 0 ? S(0) : line > 1 ? S(1) : line) + (1 - hard) / (1 + exponential(-a));
}
template <typename S>
inline S slope(S y, bool hard) { return hard ? (y > 0 && y < 1 ? S(0.2) : S(0)) : y * (1 - y); }
// Near 0 good to an ulp of 1, not of the result: what it is added to is of that size.
template <typename S>
inline S hyperbolic_tangent(S a) { return 1 - 2 / (1 + exponential(2 * a)); }

// Where array (…,T,B,U), its first axis gates or states, has sample b at a time step.
template <typename S>
inline S* at_step(const Tensor& array, long which, long t, long b) {
  return values<S>(array) + ((which * array.size(1) + t) * array.size(2) + b) * array.size(3);
}

// a (3,T,B,U), weights (3,U,U), masks m (3,B,U), by gate z, r, h → the last state (B,U); saved (4,T,B,U): h before each
// step, z, r, c.
template <typename S>
Tensors gru(const Tensor& a, const Tensor& weights, const Tensor& m, bool hard) {
  const long steps = a.size(1), samples = a.size(2), units = a.size(3);
  const Tensor last = at::empty({samples, units}, a.options());
  const Tensor saved = at::empty({4, steps, samples, units}, a.options());
  const auto pack = [&](long g) { return Packed<S>(values<S>(weights) + g * units * units, units, units, units, 1); };
  const Packed<S> u[3] = {pack(0), pack(1), pack(2)};
#pragma omp parallel for schedule(static)
  for (long b = 0; b < samples; b += ROWS) {
    const long count = std::min<long>(ROWS, samples - b), size = count * units, room = ROWS * units;
    std::vector<S> rooms(6 * room);
    S *h = rooms.data(), *reset = h + room, *masked = reset + room, *s_z = masked + room, *s_r = s_z + room, *s_h = s_r + room;
    const auto multiply = [=, &u, &m](const S* state, long g) {
      const S* mask = values<S>(m) + (g * samples + b) * units;
      for (long n = 0; n < size; ++n) masked[n] = state[n] * mask[n];
      product(masked, units, count, u[g], s_z + g * room);
    };
    for (long t = 0; t < steps; ++t) {
      const S *a_z = at_step<S>(a, 0, t, b), *a_r = at_step<S>(a, 1, t, b), *a_h = at_step<S>(a, 2, t, b);
      S *z = at_step<S>(saved, 1, t, b), *r = at_step<S>(saved, 2, t, b), *c = at_step<S>(saved, 3, t, b);
      std::copy_n(h, size, at_step<S>(saved, 0, t, b));
      multiply(h, 0);
      multiply(h, 1);
#pragma omp simd
      for (long n = 0; n < size; ++n) {
        z[n] = gate(a_z[n] + s_z[n], S(hard));
        r[n] = gate(a_r[n] + s_r[n], S(hard));
        reset[n] = r[n] * h[n];
      }
      multiply(reset, 2);
#pragma omp simd
      for (long n = 0; n < size; ++n) {
        c[n] = hyperbolic_tangent(a_h[n] + s_h[n]);
        h[n] = z[n] * h[n] + (1 - z[n]) * c[n];
      }
    }
    std::copy_n(h, size, values<S>(last) + b * units);
  }
  return {last, saved};
}

// dlast (B,U) → da (3,T,B,U).
template <typename S>
Tensor gru_backward(const Tensor& dlast, const Tensor& saved, const Tensor& weights, const Tensor& m, bool hard) {
  const long steps = saved.size(1), samples = saved.size(2), units = saved.size(3);
  const Tensor da = at::empty({3, steps, samples, units}, saved.options());
  const auto pack = [&](long g) { return Packed<S>(values<S>(weights) + g * units * units, units, units, 1, units); };
  const Packed<S> u[3] = {pack(0), pack(1), pack(2)};  // transposed
#pragma omp parallel for schedule(static)
  for (long b = 0; b < samples; b += ROWS) {
    const long count = std::min<long>(ROWS, samples - b), size = count * units, room = ROWS * units;
    std::vector<S> rooms(4 * room);
    S *dh = rooms.data(), *s_z = dh + room, *s_r = s_z + room, *s_h = s_r + room;
    std::copy_n(values<S>(dlast) + b * units, size, dh);
    const S *m_z = values<S>(m) + b * units, *m_r = m_z + samples * units, *m_h = m_r + samples * units;
    for (long t = steps - 1; t >= 0; --t) {
      const S *h = at_step<S>(saved, 0, t, b), *z = at_step<S>(saved, 1, t, b);
      const S *r = at_step<S>(saved, 2, t, b), *c = at_step<S>(saved, 3, t, b);
      S *da_z = at_step<S>(da, 0, t, b), *da_r = at_step<S>(da, 1, t, b), *da_h = at_step<S>(da, 2, t, b);
#pragma omp simd
      for (long n = 0; n < size; ++n) {
        da_z[n] = dh[n] * (h[n] - c[n]) * slope(z[n], hard);
        da_h[n] = dh[n] * (1 - z[n]) * (1 - c[n] * c[n]);
      }
      product(da_h, units, count, u[2], s_h);
#pragma omp simd
      for (long n = 0; n < size; ++n) {
        const S q = m_h[n] * s_h[n];
        da_r[n] = q * h[n] * slope(r[n], hard);
        dh[n] = dh[n] * z[n] + q * r[n];
      }
      product(da_z, units, count, u[0], s_z);
      product(da_r, units, count, u[1], s_r);
#pragma omp simd
      for (long n = 0; n < size; ++n) dh[n] += m_z[n] * s_z[n] + m_r[n] * s_r[n];
    }
  }
  return da;
}
