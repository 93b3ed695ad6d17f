// A chunk of the gated delta rule: its queries and keys, what follows from them and the decays alone,
// and the triangular system of its corrections.
#pragma once

#include "../heads.h"

namespace lengthwise::gated_delta_rule {

constexpr Index CHUNK = 16;
static_assert(CHUNK % 16 == 0, "rows of a chunk are whole vectors");

struct Inputs {
  const float *q, *k, *v, *beta, *log_decay, *initial;
  float scale;
};

struct Chunk {
  Matrix qk;       // scaled queries over keys [2 rows][K]
  Matrix keys_t;   // [K][CHUNK]
  Matrix scores;   // P over N [2 rows][CHUNK]
  Matrix between;  // E [rows][CHUNK]
  float *beta, *from_start;
  Index begin = 0, rows = 0;

  Chunk(const Heads& s, Scratch& scratch)
      : qk(scratch.matrix(2 * CHUNK, s.keys)),
        keys_t(scratch.matrix(padded(s.keys), CHUNK)),
        scores(scratch.matrix(2 * CHUNK, CHUNK)),
        between(scratch.matrix(CHUNK, CHUNK)),
        beta(scratch.take(CHUNK)),
        from_start(scratch.take(CHUNK)) {}

  Matrix keys() const { return {qk.row(rows), qk.stride}; }
  float to_end(Index i) const { return between.row(rows - 1)[i]; }
  const float* whole() const { return from_start + rows - 1; }

  // All that the state's update needs.
  void load_keys(const Inputs& in, const Place& place, Index first) {
    begin = first;
    rows = std::min(CHUNK, place.sizes.length - first);
    place.load_keys(begin, rows, in.k, keys());
    float decays[CHUNK] = {};
    for (Index i = 0; i < rows; ++i) {
      beta[i] = in.beta[place.at(begin + i)];
      if (in.log_decay) decays[i] = in.log_decay[place.at(begin + i)];
    }
    for (Index i = 0; i < CHUNK; i += LANES) store(decays + i, exp(load(decays + i)));
    for (Index i = 0; i < rows; ++i) {
      from_start[i] = i ? from_start[i - 1] * decays[i] : decays[i];
      for (Index j = 0; j < i; ++j) between.row(i)[j] = between.row(i - 1)[j] * decays[i];
      between.row(i)[i] = 1.0f;
    }
  }

  void load_all(const Inputs& in, const Place& place, Index first) {
    load_keys(in, place, first);
    place.load_queries(begin, rows, in.q, in.scale, qk);
    transpose(padded(rows), padded(place.sizes.keys), keys(), keys_t);
    multiply(2 * rows, place.sizes.keys, padded(rows), qk, keys_t, scores);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j <= i; ++j) scores.row(i)[j] *= between.row(i)[j];
      for (Index j = 0; j < i; ++j) scores.row(rows + i)[j] *= between.row(i)[j];
    }
  }

  // reads: Sᵀq over Sᵀk, of which the first become the outputs; errors: v, which become x.
  template <int W>
  void correct(Index column, const Matrix& reads, const Matrix& errors,
               const Matrix& corrections) const {
    for (Index i = 0; i < rows; ++i) {
      const float *P = scores.row(i), *N = scores.row(rows + i);
      const Vector decay = broadcast(from_start[i]);
      Vector error[W], out[W];
      for (int w = 0; w < W; ++w) {
        const Index at = column + w * LANES;
        error[w] = fnma(decay, load(reads.row(rows + i) + at), load(errors.row(i) + at));
        out[w] = mul(decay, load(reads.row(i) + at));
      }
      for (Index j = 0; j < i; ++j) {
        const Vector p = broadcast(P[j]), n = broadcast(N[j]);
        for (int w = 0; w < W; ++w) {
          const Vector u = load(corrections.row(j) + column + w * LANES);
          error[w] = fnma(n, u, error[w]);
          out[w] = fma(p, u, out[w]);
        }
      }
      for (int w = 0; w < W; ++w) {
        const Index at = column + w * LANES;
        const Vector u = mul(broadcast(beta[i]), error[w]);
        store(errors.row(i) + at, error[w]);
        store(corrections.row(i) + at, u);
        store(reads.row(i) + at, fma(broadcast(P[i]), u, out[w]));
      }
    }
  }

  // corrections ← E_Ci u_i, as the state takes them up.
  void decay_to_end(Index columns, const Matrix& corrections) const {
    for (Index i = 0; i < rows; ++i) {
      load_row(corrections.row(i), columns, to_end(i), corrections.row(i));
    }
  }
};

}  // namespace lengthwise::gated_delta_rule
