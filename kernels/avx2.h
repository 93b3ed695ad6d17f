// What every AVX2 kernel needs: eight channels at a time, exp, and a loop shared out over threads.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#define LENGTHWISE_API extern "C" __attribute__((visibility("default")))

namespace lengthwise {

using Index = std::int64_t;

constexpr Index LANES = 8;

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// The first `count` of eight neighbours in memory; what lies behind them is never touched.
class Lanes {
 public:
  explicit Lanes(Index count) : whole_(count >= LANES) {
    const __m256i order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const Index kept = std::min(count, LANES);
    mask_ = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(kept)), order);
  }

  __m256 load(const float* from) const {
    return whole_ ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask_);
  }

  // A branch, since a masked store takes dozens of cycles on AMD before Zen 4.
  void store(float* to, __m256 value) const {
    if (whole_) {
      _mm256_storeu_ps(to, value);
    } else {
      _mm256_maskstore_ps(to, mask_, value);
    }
  }

 private:
  bool whole_;
  __m256i mask_;
};

// e^x to about one unit in the last place. Below −87.7 it is 0, above 88.4 infinity, and NaN stays
// NaN: min and max give their second operand where one is NaN. x = n ln 2 + r; e^r by the
// polynomial of Cephes' expf. Adding `round` leaves n + 127 in the low bits, ready for the exponent.
inline __m256 exp(__m256 x) {
  const __m256 round = _mm256_set1_ps(12582912.0f + 127.0f);  // 1.5 · 2^23 + 127
  x = _mm256_max_ps(_mm256_set1_ps(-88.0f), x);
  x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
  const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(1.44269504088896341f), round);
  const __m256 n = _mm256_sub_ps(shifted, round);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
  p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r), _mm256_set1_ps(1.0f));
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

// [channels][N] → [N][8], zeros beyond the last channel.
inline void gather(const float* from, Index count, Index states, float* tile) {
  for (Index n = 0; n < states; ++n) {
    for (Index lane = 0; lane < LANES; ++lane) {
      tile[n * LANES + lane] = from != nullptr && lane < count ? from[lane * states + n] : 0.0f;
    }
  }
}

inline void scatter(const float* tile, Index count, Index states, float* to) {
  for (Index lane = 0; lane < count; ++lane) {
    for (Index n = 0; n < states; ++n) to[lane * states + n] = tile[n * LANES + lane];
  }
}

// An array that may be absent, from an offset on.
inline const float* at(const float* base, Index offset) { return base ? base + offset : nullptr; }

inline void add_to(float* sum, __m256 value) {
  _mm256_store_ps(sum, _mm256_add_ps(_mm256_load_ps(sum), value));
}

inline float sum(const float* eight) {
  const float low = (eight[0] + eight[4]) + (eight[1] + eight[5]);
  const float high = (eight[2] + eight[6]) + (eight[3] + eight[7]);
  return low + high;
}

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

// Runs body(task, scratch) for every task, on the calling thread and up to threads − 1 more. Each
// thread has `floats` of scratch, aligned to a cache line. False, with nothing run, when memory is
// short; where no thread can be started, those that run do its share.
template <class Body>
bool in_parallel(Index tasks, Index threads, Index floats, const Body& body) {
  constexpr std::align_val_t line{64};
  const Index stride = ceil_div(std::max<Index>(floats, 1), 16) * 16;
  const Index hands = std::max<Index>(1, std::min(tasks, threads));
  void* memory = ::operator new(sizeof(float) * hands * stride, line, std::nothrow);
  if (memory == nullptr) return false;
  float* scratch = static_cast<float*>(memory);
  std::atomic<Index> next{0};
  const auto work = [&](Index hand) {
    const FlushDenormals flush;
    for (Index task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      body(task, scratch + hand * stride);
    }
  };
  std::vector<std::thread> helpers;
  try {
    for (Index hand = 1; hand < hands; ++hand) helpers.emplace_back(work, hand);
  } catch (...) {
  }
  work(0);
  for (std::thread& helper : helpers) helper.join();
  ::operator delete(memory, line);
  return true;
}

}  // namespace lengthwise
