// The gradients of one chunk of the gated delta rule.
#pragma once

#include "chunk.h"

namespace lengthwise::gated_delta_rule {

struct Gradients {
  const float *o, *final;                         // of the outputs, may be null
  float *q, *k, *v, *beta, *log_decay, *initial;  // all but v and initial: a group's share
};

struct ChunkGradients {
  Matrix flow, flow_t;   // of S [K][V], and transposed
  Matrix errors;         // x [rows][V]
  Matrix corrections;    // u, and later E_C u [rows][V]
  Matrix corrections_t;  // [V][CHUNK]
  Matrix written;        // flowᵀ read by the keys [rows][V]
  Matrix wide;           // do over dv, and later F do over −F dv [2 rows][V]
  Matrix products;       // do·u over dv·u [2 rows][CHUNK]
  Matrix mixing;         // what dq and dk take of each q and k, through the scores [2 rows][2 rows]
  Matrix to_qk;          // dq over dk [2 rows][K]
  Matrix to_beta;        // a vector a row, to be summed
  float* to_decays;      // of the cumulative log-decays

  ChunkGradients(const Heads& s, Scratch& scratch)
      : flow(scratch.matrix(padded(s.keys), s.group())),
        flow_t(scratch.matrix(s.group(), s.keys)),
        errors(scratch.matrix(CHUNK, s.group())),
        corrections(scratch.matrix(CHUNK, s.group())),
        corrections_t(scratch.matrix(s.group(), CHUNK)),
        written(scratch.matrix(CHUNK, s.group())),
        wide(scratch.matrix(2 * CHUNK, s.group())),
        products(scratch.matrix(2 * CHUNK, CHUNK)),
        mixing(scratch.matrix(2 * CHUNK, 2 * CHUNK)),
        to_qk(scratch.matrix(2 * CHUNK, s.keys)),
        to_beta(scratch.matrix(CHUNK, LANES)),
        to_decays(scratch.take(CHUNK)) {}

  void load_corrections(const Chunk& chunk, const Place& place, const float* kept) {
    place.load_values(chunk.begin, chunk.rows, kept, errors);
    for (Index i = 0; i < chunk.rows; ++i) {
      load_row(errors.row(i), place.columns, chunk.beta[i], corrections.row(i));
    }
  }

  // dv and dbeta: the system of the corrections, transposed, from its last row.
  void through_corrections(const Chunk& chunk, Index keys, Index columns) {
    multiply(chunk.rows, keys, columns, chunk.keys(), flow, written);
    clear(chunk.rows, LANES, to_beta);
    over_columns<STRIP>(columns, [&](Index at, auto width) { propagate<width()>(chunk, at); });
  }

  template <int W>
  void propagate(const Chunk& chunk, Index column) {
    const Index rows = chunk.rows;
    const Matrix &P = chunk.scores, N{chunk.scores.row(rows), chunk.scores.stride};
    const Matrix &to_out = wide, to_error{wide.row(rows), wide.stride};
    for (Index i = rows - 1; i >= 0; --i) {
      Vector du[W];
      for (int w = 0; w < W; ++w) {
        const Index at = column + w * LANES;
        du[w] = mul(broadcast(chunk.to_end(i)), load(written.row(i) + at));
        du[w] = fma(broadcast(P.row(i)[i]), load(to_out.row(i) + at), du[w]);
      }
      for (Index l = i + 1; l < rows; ++l) {
        const Vector p = broadcast(P.row(l)[i]), n = broadcast(N.row(l)[i]);
        for (int w = 0; w < W; ++w) {
          const Index at = column + w * LANES;
          du[w] = fma(p, load(to_out.row(l) + at), du[w]);
          du[w] = fnma(n, load(to_error.row(l) + at), du[w]);
        }
      }
      Vector total = load(to_beta.row(i));
      for (int w = 0; w < W; ++w) {
        const Index at = column + w * LANES;
        total = fma(du[w], load(errors.row(i) + at), total);
        store(to_error.row(i) + at, mul(broadcast(chunk.beta[i]), du[w]));
      }
      store(to_beta.row(i), total);
    }
  }

  // `mixing`, and what the scores say of the decays.
  void through_scores(const Chunk& chunk, Index columns) {
    const Index rows = chunk.rows;
    transpose(padded(rows), columns, corrections, corrections_t);
    multiply(2 * rows, columns, padded(rows), wide, corrections_t, products);
    clear(2 * rows, 2 * rows, mixing);
    std::fill(to_decays, to_decays + rows, 0.0f);
    for (Index i = 0; i < rows; ++i) {
      const float *P = chunk.scores.row(i), *N = chunk.scores.row(rows + i);
      const float *of_P = products.row(i), *of_N = products.row(rows + i);
      for (Index j = 0; j < i; ++j) {
        const float both = of_P[j] * P[j] - of_N[j] * N[j], between = chunk.between.row(i)[j];
        to_decays[i] += both;
        to_decays[j] -= both;
        mixing.row(i)[rows + j] = mixing.row(rows + j)[i] = of_P[j] * between;
        mixing.row(rows + i)[rows + j] = mixing.row(rows + j)[rows + i] = -of_N[j] * between;
      }
      mixing.row(i)[rows + i] = mixing.row(rows + i)[i] = of_P[i];
    }
  }

  // dq, dk and the rest of to_decays, through the state that enters, `before` [V][K], the one that
  // leaves, and the scores. Returns the gradient of the chunk's whole log-decay.
  float through_states(const Chunk& chunk, Index columns, Index width, const Matrix& before) {
    const Index rows = chunk.rows;
    float to_whole = 0.0f;
    for (Index v = 0; v < columns; ++v) to_whole += dot(width, before.row(v), flow_t.row(v));
    to_whole *= *chunk.whole();
    for (Index i = 0; i < rows; ++i) {
      const float end = chunk.to_end(i) * dot(columns, written.row(i), corrections.row(i));
      to_whole += end;
      to_decays[i] -= end;
      load_row(wide.row(i), columns, chunk.from_start[i], wide.row(i));
      load_row(wide.row(rows + i), columns, -chunk.from_start[i], wide.row(rows + i));
    }
    multiply(2 * rows, columns, width, wide, before, to_qk);
    for (Index i = 0; i < rows; ++i) {
      to_decays[i] += dot(width, chunk.qk.row(i), to_qk.row(i)) +
                      dot(width, chunk.qk.row(rows + i), to_qk.row(rows + i));
    }
    const Matrix to_keys{to_qk.row(rows), to_qk.stride};
    chunk.decay_to_end(columns, corrections);
    multiply_add(rows, columns, width, corrections, flow_t, to_keys);
    multiply_add(rows, rows, width, Left(mixing.row(0) + rows, mixing.stride, 1), chunk.keys(),
                 to_qk);
    multiply_add(rows, 2 * rows, width, Left(mixing.row(rows), mixing.stride, 1), chunk.qk,
                 to_keys);
    return to_whole;
  }

  // A token's log-decay is in the cumulative ones from there to the chunk's end.
  void write(const Inputs& in, const Place& place, const Chunk& chunk, const Gradients& grad,
             float to_whole) const {
    const Index keys = place.sizes.keys;
    for (Index i = chunk.rows - 1; i >= 0; --i) {
      const Index token = place.share(chunk.begin + i);
      to_whole += to_decays[i];
      grad.log_decay[token] = to_whole;
      grad.beta[token] = sum(load(to_beta.row(i)));
      store_row(to_qk.row(i), keys, in.scale, grad.q + token * keys);
      store_row(to_qk.row(chunk.rows + i), keys, 1.0f, grad.k + token * keys);
    }
  }
};

}  // namespace lengthwise::gated_delta_rule
