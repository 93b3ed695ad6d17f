// Small matrix products, transposes and padded copies: what the chunkwise kernels are made of.
// Every matrix is row-major with a row stride, its columns padded with zeros to whole vectors.
#pragma once

#include <type_traits>

#include "vector.h"

namespace lengthwise {

inline Index padded(Index count) { return ceil_div(count, LANES) * LANES; }

// Rows eight floats longer than they need to be do not all fall into the same cache sets.
inline Index row_stride(Index count) { return padded(count) + 8; }

struct Matrix {
  float* data;
  Index stride;

  float* row(Index i) const { return data + i * stride; }
};

// Element (i, p) of a product's left side; its transpose is a change of strides.
struct Left {
  const float* data;
  Index row, column;

  Left(const Matrix& m) : data(m.data), row(m.stride), column(1) {}
  Left(const float* first, Index row_step, Index column_step)
      : data(first), row(row_step), column(column_step) {}
  Left transposed() const { return {data, column, row}; }
};

// R rows and W vectors of c ← keep ⊙ c + a b, where keep has a factor a row; null for c ← a b.
template <int R, int W>
inline void multiply_tile(Index depth, const Left& a, const float* b, Index b_stride,
                          const float* keep, Index keep_step, float* c, Index c_stride) {
  Vector sums[R][W];
  for (int r = 0; r < R; ++r) {
    for (int w = 0; w < W; ++w) {
      sums[r][w] = keep ? mul(broadcast(keep[r * keep_step]),
                                        load(c + r * c_stride + w * LANES))
                        : zero();
    }
  }
  for (Index p = 0; p < depth; ++p) {
    Vector right[W];
    for (int w = 0; w < W; ++w) right[w] = load(b + p * b_stride + w * LANES);
    for (int r = 0; r < R; ++r) {
      const Vector left = broadcast(a.data[r * a.row + p * a.column]);
      for (int w = 0; w < W; ++w) sums[r][w] = fma(left, right[w], sums[r][w]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int w = 0; w < W; ++w) store(c + r * c_stride + w * LANES, sums[r][w]);
  }
}

template <int W>
inline void multiply_columns(Index rows, Index depth, Left a, const float* b, Index b_stride,
                             const float* keep, Index keep_step, float* c, Index c_stride) {
  const auto step = [&](Index count) {
    a.data += count * a.row;
    if (keep) keep += count * keep_step;
    c += count * c_stride;
    rows -= count;
  };
  while (rows >= 6) {
    multiply_tile<6, W>(depth, a, b, b_stride, keep, keep_step, c, c_stride);
    step(6);
  }
  if (rows >= 4) {
    multiply_tile<4, W>(depth, a, b, b_stride, keep, keep_step, c, c_stride);
    step(4);
  }
  if (rows >= 2) {
    multiply_tile<2, W>(depth, a, b, b_stride, keep, keep_step, c, c_stride);
    step(2);
  }
  if (rows) multiply_tile<1, W>(depth, a, b, b_stride, keep, keep_step, c, c_stride);
}

// c [rows][columns] ← keep ⊙ c + a [rows][depth] b [depth][columns]. Every element is summed in the
// order of depth, however the columns are shared out.
inline void multiply(Index rows, Index depth, Index columns, const Left& a, const Matrix& b,
                     const Matrix& c, const float* keep = nullptr, Index keep_step = 0) {
  Index column = 0;
  for (; column + 2 * LANES <= columns; column += 2 * LANES) {
    multiply_columns<2>(rows, depth, a, b.data + column, b.stride, keep, keep_step,
                        c.data + column, c.stride);
  }
  if (column < columns) {
    multiply_columns<1>(rows, depth, a, b.data + column, b.stride, keep, keep_step,
                        c.data + column, c.stride);
  }
}

inline constexpr float ONE = 1.0f;

inline void multiply_add(Index rows, Index depth, Index columns, const Left& a, const Matrix& b,
                         const Matrix& c) {
  multiply(rows, depth, columns, a, b, c, &ONE, 0);
}

// Eight by eight, whatever LANES is.
inline void transpose_tile(const float* from, Index from_stride, float* to, Index to_stride) {
  __m256 r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + i * from_stride);
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

// to [columns][rows] ← from [rows][columns], both whole numbers of vectors.
inline void transpose(Index rows, Index columns, const Matrix& from, const Matrix& to) {
  for (Index i = 0; i < rows; i += 8) {
    for (Index j = 0; j < columns; j += 8) {
      transpose_tile(from.row(i) + j, from.stride, to.row(j) + i, to.stride);
    }
  }
}

// to ← factor · from, `count` numbers, zeros up to the next whole vector.
inline void load_row(const float* from, Index count, float factor, float* to) {
  const Vector f = broadcast(factor);
  Index j = 0;
  for (; j + LANES <= count; j += LANES) store(to + j, mul(f, load(from + j)));
  if (j < count) store(to + j, mul(f, load(from + j, lane_mask(count - j))));
}

inline void store_row(const float* from, Index count, float factor, float* to) {
  const Vector f = broadcast(factor);
  Index j = 0;
  for (; j + LANES <= count; j += LANES) store(to + j, mul(f, load(from + j)));
  if (j < count) store(to + j, mul(f, load(from + j)), lane_mask(count - j));
}

// Asks for rows that will be read soon: the steps between them are too wide for the processor to guess.
inline void prefetch(Index rows, Index count, const float* from, Index step) {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < count; j += 16) _mm_prefetch(from + i * step + j, _MM_HINT_T0);
  }
}

inline void clear(Index rows, Index columns, const Matrix& m) {
  for (Index i = 0; i < rows; ++i) std::fill(m.row(i), m.row(i) + columns, 0.0f);
}

// A block of a matrix in the caller's memory and in scratch, in either direction.
inline void load_block(Index rows, Index count, const float* from, Index from_stride,
                       const Matrix& to) {
  if (from == nullptr) return clear(rows, padded(count), to);
  for (Index i = 0; i < rows; ++i) load_row(from + i * from_stride, count, 1.0f, to.row(i));
}

inline void store_block(Index rows, Index count, const Matrix& from, float* to, Index to_stride) {
  for (Index i = 0; i < rows; ++i) store_row(from.row(i), count, 1.0f, to + i * to_stride);
}

// [channels][steps] → [steps][width], zeros beyond the last channel, and back.
inline void gather(const float* from, Index channels, Index steps, Index width, float* to) {
  for (Index i = 0; i < steps; ++i) {
    for (Index j = 0; j < width; ++j) {
      to[i * width + j] = from != nullptr && j < channels ? from[j * steps + i] : 0.0f;
    }
  }
}

inline void scatter(const float* from, Index channels, Index steps, Index width, float* to) {
  for (Index j = 0; j < channels; ++j) {
    for (Index i = 0; i < steps; ++i) to[j * steps + i] = from[i * width + j];
  }
}

inline float dot(Index count, const float* a, const float* b) {
  Vector total = zero();
  for (Index j = 0; j < count; j += LANES) {
    total = fma(load(a + j), load(b + j), total);
  }
  return sum(total);
}

// Calls body(column, number of vectors as a constant) until all columns are done: W at a time, then
// one by one.
template <int W, class Body>
void over_columns(Index columns, const Body& body) {
  Index column = 0;
  for (; column + W * LANES <= columns; column += W * LANES) {
    body(column, std::integral_constant<int, W>());
  }
  for (; column < columns; column += LANES) body(column, std::integral_constant<int, 1>());
}

// Hands out pieces of a thread's scratch; on a null start it only counts what will be needed.
class Scratch {
 public:
  explicit Scratch(float* begin) : begin_(begin) {}

  Matrix matrix(Index rows, Index columns) {
    const Index stride = row_stride(columns);
    return {take(rows * stride), stride};
  }

  float* take(Index count) {
    float* piece = begin_ ? begin_ + used_ : nullptr;
    used_ += ceil_div(count, 16) * 16;
    return piece;
  }

  Index used() const { return used_; }

 private:
  float* begin_;
  Index used_ = 0;
};

}  // namespace lengthwise
