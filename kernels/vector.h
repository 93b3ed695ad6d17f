// What every compiled kernel needs: eight or sixteen neighbours at a time, exp, and a loop shared out
// over threads. The same source is built for AVX2 and for AVX-512.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#define LENGTHWISE_API extern "C" __attribute__((visibility("default")))

// Of the OpenMP library that torch loads; null in a program without one.
extern "C" __attribute__((weak)) void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);

namespace lengthwise {

using Index = std::int64_t;

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

#ifdef __AVX512F__

using Vector = __m512;
using Mask = __mmask16;
constexpr Index LANES = 16;

inline Mask lane_mask(Index count) { return static_cast<Mask>((1u << count) - 1); }
inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline Vector load(const float* from, Mask mask) { return _mm512_maskz_loadu_ps(mask, from); }
inline void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
inline void store(float* to, Vector value, Mask mask) { _mm512_mask_storeu_ps(to, mask, value); }
inline Vector zero() { return _mm512_setzero_ps(); }
inline Vector broadcast(float value) { return _mm512_set1_ps(value); }
inline Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
inline Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
inline Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
inline Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
inline Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline Vector fnma(Vector a, Vector b, Vector c) { return _mm512_fnmadd_ps(a, b, c); }
inline Vector low_bits_as_exponent(Vector a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
inline float sum(Vector a) { return _mm512_reduce_add_ps(a); }

#else

using Vector = __m256;
using Mask = __m256i;
constexpr Index LANES = 8;

inline Mask lane_mask(Index count) {
  const __m256i order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), order);
}
inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
inline Vector load(const float* from, Mask mask) { return _mm256_maskload_ps(from, mask); }
inline void store(float* to, Vector value) { _mm256_storeu_ps(to, value); }
inline void store(float* to, Vector value, Mask mask) { _mm256_maskstore_ps(to, mask, value); }
inline Vector zero() { return _mm256_setzero_ps(); }
inline Vector broadcast(float value) { return _mm256_set1_ps(value); }
inline Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
inline Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
inline Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
inline Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
inline Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector fnma(Vector a, Vector b, Vector c) { return _mm256_fnmadd_ps(a, b, c); }
inline Vector low_bits_as_exponent(Vector a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
inline float sum(Vector a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#endif

// The first `count` neighbours of a vector in memory; what lies behind them is never touched.
class Lanes {
 public:
  explicit Lanes(Index count)
      : whole_(count >= LANES), mask_(lane_mask(std::min(count, LANES))) {}

  Vector load(const float* from) const {
    return whole_ ? lengthwise::load(from) : lengthwise::load(from, mask_);
  }

  // A branch, since a masked store takes dozens of cycles on AMD before Zen 4.
  void store(float* to, Vector value) const {
    if (whole_) {
      lengthwise::store(to, value);
    } else {
      lengthwise::store(to, value, mask_);
    }
  }

 private:
  bool whole_;
  Mask mask_;
};

// e^x to about one unit in the last place. Below −87.7 it is 0, above 88.4 infinity, and NaN stays
// NaN: min and max give their second operand where one is NaN. x = n ln 2 + r; e^r by the
// polynomial of Cephes' expf. Adding `round` leaves n + 127 in the low bits, ready for the exponent.
inline Vector exp(Vector x) {
  const Vector round = broadcast(12582912.0f + 127.0f);  // 1.5 · 2^23 + 127
  x = min(broadcast(89.0f), max(broadcast(-88.0f), x));
  const Vector shifted = fma(x, broadcast(1.44269504088896341f), round);
  const Vector n = sub(shifted, round);
  const Vector r = fnma(n, broadcast(-2.12194440e-4f), fnma(n, broadcast(0.693359375f), x));
  Vector p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = add(fma(mul(r, r), p, r), broadcast(1.0f));
  return mul(p, low_bits_as_exponent(shifted));
}

// An array that may be absent, from an offset on.
inline const float* offset(const float* base, Index n) { return base ? base + n : nullptr; }

inline void add_to(float* sum, Vector value) { store(sum, add(load(sum), value)); }

// A state that decays towards zero would otherwise spend 100 cycles on every denormal number.
class FlushDenormals {
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned before_;
};

// How many of the threads are worth waking for so many multiply-adds: each gets 10 to 30 µs of them.
inline Index threads_for(Index operations, Index threads) {
  return std::clamp<Index>(operations >> 18, 1, std::max<Index>(threads, 1));
}

// Runs work() on the calling thread and at least `hands` − 1 more where as many can be had: torch's own
// OpenMP threads where its library is loaded, since those spin after every torch operation and would
// otherwise be in the way of ours. It takes all of them, since a smaller team would end the others.
template <class Work>
void on_threads(Index hands, const Work& work) {
  if (hands > 1 && GOMP_parallel != nullptr) {
    const auto enter = [](void* data) { (*static_cast<const Work*>(data))(); };
    GOMP_parallel(enter, const_cast<Work*>(&work), 0, 0);
    return;
  }
  std::vector<std::thread> helpers;
  try {
    for (Index hand = 1; hand < hands; ++hand) helpers.emplace_back(work);
  } catch (...) {  // those that run do its share
  }
  work();
  for (std::thread& helper : helpers) helper.join();
}

// Runs body(task, scratch) for every task on up to `threads` threads, each with `floats` of scratch,
// aligned to a cache line. False, with nothing run, when memory is short.
template <class Body>
bool in_parallel(Index tasks, Index threads, Index floats, const Body& body) {
  constexpr std::align_val_t line{64};
  const Index stride = ceil_div(std::max<Index>(floats, 1), 16) * 16;
  const Index hands = std::max<Index>(1, std::min(tasks, threads));
  void* memory = ::operator new(sizeof(float) * hands * stride, line, std::nothrow);
  if (memory == nullptr) return false;
  float* scratch = static_cast<float*>(memory);
  std::atomic<Index> next_hand{0}, next_task{0};
  on_threads(hands, [&] {
    const Index hand = next_hand.fetch_add(1, std::memory_order_relaxed);
    if (hand >= hands) return;
    const FlushDenormals flush;
    for (Index task; (task = next_task.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      body(task, scratch + hand * stride);
    }
  });
  ::operator delete(memory, line);
  return true;
}

}  // namespace lengthwise
