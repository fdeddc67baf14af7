// Products with a small matrix, in tiles that stay in registers. Nothing here names an instruction: the innermost loops
// have constant lengths, and the compiler turns them into the widest vectors it has.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

using at::Tensor;
using Tensors = std::vector<Tensor>;

template <typename S>
S* values(const Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous(), "expected a contiguous tensor");
  return tensor.data_ptr<S>();  // which checks the type
}

#ifdef __AVX512F__
constexpr int VECTOR_BYTES = 64, ROWS = 8;
#else
constexpr int VECTOR_BYTES = 32, ROWS = 4;  // half as many registers, of half the width
#endif
// Of a tile: two vectors, so that a row of it is worth the value it is multiplied by.
template <typename S>
constexpr int COLUMNS = 2 * VECTOR_BYTES / sizeof(S);

// A matrix (depth, columns), value k, n of which is first[k·row + n·column], in blocks of COLUMNS columns, one behind the
// other, with zeros behind the last column.
template <typename S>
struct Packed {
  long depth, columns;
  std::vector<S> packed;

  Packed(const S* first, long depth, long columns, long row, long column)
      : depth(depth), columns(columns), packed(depth * ((columns + COLUMNS<S> - 1) / COLUMNS<S> * COLUMNS<S>)) {
    for (long n = 0; n < columns; ++n)
      for (long k = 0; k < depth; ++k)
        packed[(n / COLUMNS<S> * depth + k) * COLUMNS<S> + n % COLUMNS<S>] = first[k * row + n * column];
  }
};

// out (ROWS, b.columns) = `count` rows of b.depth values times b; the rows begin `apart` values from each other, and the last
// stands for those missing.
template <typename S>
inline void product(const S* first, long apart, long count, const Packed<S>& b, S* out) {
  const S* a[ROWS];
  for (int r = 0; r < ROWS; ++r) a[r] = first + std::min<long>(r, count - 1) * apart;
  for (long block = 0; block < b.columns; block += COLUMNS<S>) {
    const S* of_block = b.packed.data() + block * b.depth;
    S sum[ROWS][COLUMNS<S>] = {};
    for (long k = 0; k < b.depth; ++k)
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r)
#pragma omp simd
        for (int n = 0; n < COLUMNS<S>; ++n) sum[r][n] += a[r][k] * of_block[k * COLUMNS<S> + n];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
      std::copy_n(sum[r], std::min<long>(COLUMNS<S>, b.columns - block), out + r * b.columns + block);
  }
}

// rows (S,K), small (K,N), or (N,K) and `turned` → rows·small (S,N), rows·smallᵀ.
template <typename S>
Tensor times(const Tensor& rows, const Tensor& small, bool turned) {
  const long count = rows.size(0), depth = rows.size(1), columns = small.size(turned ? 0 : 1);
  const Packed<S> b(values<S>(small), depth, columns, turned ? 1 : columns, turned ? depth : 1);
  const long tiles = (count + ROWS - 1) / ROWS;
  const Tensor out = at::empty({tiles * ROWS, columns}, rows.options());
  const S* first = values<S>(rows);
  S* to = values<S>(out);
#pragma omp parallel for schedule(static)
  for (long row = 0; row < tiles * ROWS; row += ROWS)
    product(first + row * depth, depth, std::min<long>(ROWS, count - row), b, to + row * columns);
  return out.narrow(0, 0, count);
}
