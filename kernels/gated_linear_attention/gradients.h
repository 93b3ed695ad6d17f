// The gradients of one chunk of gated linear attention.
#pragma once

#include "chunk.h"

namespace lengthwise::gated_linear_attention {

struct Gradients {
  const float *o, *final;                  // of the outputs, may be null
  float *q, *k, *v, *log_decay, *initial;  // all but v and initial: a group's share
};

// to ← to + a ⊙ b
inline void add_product(Index count, const float* a, const float* b, float* to) {
  for (Index j = 0; j < count; j += LANES) store(to + j, fma(load(a + j), load(b + j), load(to + j)));
}

// to ← to − a ⊙ b
inline void subtract_product(Index count, const float* a, const float* b, float* to) {
  for (Index j = 0; j < count; j += LANES) {
    store(to + j, fnma(load(a + j), load(b + j), load(to + j)));
  }
}

// to ← to + other + factor · own
inline void add_both(Index count, const float* other, float factor, const float* own, float* to) {
  const Vector f = broadcast(factor);
  for (Index j = 0; j < count; j += LANES) {
    store(to + j, fma(f, load(own + j), add(load(to + j), load(other + j))));
  }
}

struct ChunkGradients {
  Matrix flow, flow_t;         // of S [K][V], and transposed
  Matrix outputs;              // do [rows][V]
  Matrix to_values;            // dv [rows][V]
  Matrix values_t;             // v [V][CHUNK]
  Matrix to_scores;            // dP [rows][CHUNK]
  Matrix to_queries, to_keys;  // dq, dk [rows][K]
  Matrix to_decays;            // of the cumulative log-decays [rows][K]
  float *to_whole, *mixed;     // of the chunk's whole log-decay [K]; room for a row [K]

  ChunkGradients(const Heads& s, Scratch& scratch)
      : flow(scratch.matrix(padded(s.keys), s.group())),
        flow_t(scratch.matrix(s.group(), s.keys)),
        outputs(scratch.matrix(CHUNK, s.group())),
        to_values(scratch.matrix(CHUNK, s.group())),
        values_t(scratch.matrix(s.group(), CHUNK)),
        to_scores(scratch.matrix(CHUNK, CHUNK)),
        to_queries(scratch.matrix(CHUNK, s.keys)),
        to_keys(scratch.matrix(CHUNK, s.keys)),
        to_decays(scratch.matrix(CHUNK, s.keys)),
        to_whole(scratch.take(padded(s.keys))),
        mixed(scratch.take(padded(s.keys))) {}

  // Through the state that enters, `before` [V][K], and the one that leaves.
  void through_states(const Chunk& chunk, Index keys, Index columns, const Matrix& before) {
    const Index rows = chunk.rows, width = chunk.width;
    transpose(width, columns, flow, flow_t);
    multiply(rows, columns, width, outputs, before, to_queries);
    multiply(rows, columns, width, chunk.values, flow_t, to_keys);
    multiply(rows, keys, columns, chunk.written, flow, to_values);
    std::fill(to_whole, to_whole + width, 0.0f);
    for (Index v = 0; v < columns; ++v) {
      add_product(width, before.row(v), flow_t.row(v), to_whole);
    }
    multiply_rows(width, chunk.whole(), to_whole, to_whole);
    for (Index i = 0; i < rows; ++i) {
      multiply_rows(width, chunk.from_start.row(i), to_queries.row(i), to_queries.row(i));
      multiply_rows(width, chunk.queries.row(i), to_queries.row(i), to_decays.row(i));
      multiply_rows(width, chunk.to_end.row(i), to_keys.row(i), to_keys.row(i));
      add_product(width, chunk.keys.row(i), to_keys.row(i), to_whole);
      subtract_product(width, chunk.keys.row(i), to_keys.row(i), to_decays.row(i));
    }
  }

  // Through the scores. No decay is in a token's own score, so it stays out of to_decays.
  void through_scores(Chunk& chunk, Index columns) {
    const Index rows = chunk.rows, width = chunk.width;
    const Matrix mix{mixed, 0};
    transpose(padded(rows), columns, chunk.values, values_t);
    multiply(rows, columns, padded(rows), outputs, values_t, to_scores);
    chunk.with_decayed_keys([&](Index i) {
      chunk.score_row(i);
      std::fill(chunk.scores.row(i) + i + 1, chunk.scores.row(i) + rows, 0.0f);
      multiply(1, i, width, Left(to_scores.row(i), 0, 1), chunk.table, mix);
      add_product(width, chunk.queries.row(i), mixed, to_decays.row(i));
      add_both(width, mixed, to_scores.row(i)[i], chunk.keys.row(i), to_queries.row(i));
    });
    chunk.with_decayed_queries([&](Index j) {
      const Matrix later{chunk.table.row(j + 1), chunk.table.stride};
      const Left weights(to_scores.row(j + 1) + j, 0, to_scores.stride);
      multiply(1, rows - 1 - j, width, weights, later, mix);
      subtract_product(width, chunk.keys.row(j), mixed, to_decays.row(j));
      add_both(width, mixed, to_scores.row(j)[j], chunk.queries.row(j), to_keys.row(j));
    });
    multiply_add(rows, rows, columns, Left(chunk.scores).transposed(), outputs, to_values);
  }

  // A token's log-decay is in the cumulative ones from there to the chunk's end.
  void write(const Inputs& in, const Place& place, const Chunk& chunk, const Gradients& grad) {
    const Index keys = place.sizes.keys;
    place.store_values(chunk.begin, chunk.rows, to_values, grad.v);
    for (Index i = chunk.rows - 1; i >= 0; --i) {
      const Index token = place.share(chunk.begin + i);
      store_row(to_queries.row(i), keys, in.scale, grad.q + token * keys);
      store_row(to_keys.row(i), keys, 1.0f, grad.k + token * keys);
      Vector total = zero();
      for (Index j = 0; j < chunk.width; j += LANES) {
        add_to(to_whole + j, load(to_decays.row(i) + j));
        total = add(total, load(to_whole + j));
      }
      if (in.decays == 1) grad.log_decay[token] = sum(total);
      if (in.decays > 1) store_row(to_whole, keys, 1.0f, grad.log_decay + token * keys);
    }
  }
};

}  // namespace lengthwise::gated_linear_attention
