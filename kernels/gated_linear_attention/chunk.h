// A chunk of gated linear attention: its keys, queries and values, and what follows from them and
// the decays alone.
#pragma once

#include "../heads.h"

namespace lengthwise::gated_linear_attention {

constexpr Index CHUNK = 16;
static_assert(CHUNK % 16 == 0, "rows of a chunk are whole vectors");

struct Inputs {
  const float *q, *k, *v, *log_decay, *initial;
  Index decays;  // channels of log_decay: none, 1 or K
  float scale;
};

// to ← a ⊙ b
inline void multiply_rows(Index count, const float* a, const float* b, float* to) {
  for (Index j = 0; j < count; j += LANES) store(to + j, mul(load(a + j), load(b + j)));
}

struct Chunk {
  Matrix queries, keys;       // scaled queries; keys [rows][K]
  Matrix values;              // [rows][V]
  Matrix decays;              // of each token [rows][K]
  Matrix from_start, to_end;  // F and E_C [rows][K]
  Matrix read, written;       // F ⊙ q and E_C ⊙ k [rows][K]
  Matrix table;               // decayed keys or queries [rows][K]
  Matrix scores;              // P [rows][CHUNK]
  Index begin = 0, rows = 0, width;
  bool decaying;

  Chunk(const Heads& s, Index channels, Scratch& scratch)
      : queries(scratch.matrix(CHUNK, s.keys)),
        keys(scratch.matrix(CHUNK, s.keys)),
        values(scratch.matrix(CHUNK, s.group())),
        decays(scratch.matrix(CHUNK, s.keys)),
        from_start(scratch.matrix(CHUNK, s.keys)),
        to_end(scratch.matrix(CHUNK, s.keys)),
        read(scratch.matrix(CHUNK, s.keys)),
        written(scratch.matrix(CHUNK, s.keys)),
        table(scratch.matrix(CHUNK, s.keys)),
        scores(scratch.matrix(CHUNK, CHUNK)),
        width(padded(s.keys)),
        decaying(channels > 0) {}

  const float* whole() const { return from_start.row(rows - 1); }

  // All that the state's update needs.
  void load_written(const Inputs& in, const Place& place, Index first) {
    begin = first;
    rows = std::min(CHUNK, place.sizes.length - first);
    place.load_keys(begin, rows, in.k, keys);
    place.load_values(begin, rows, in.v, values);
    for (Index i = 0; i < rows; ++i) load_decay(in, place, i);
    for (Index i = rows - 1; i >= 0; --i) {
      if (i == rows - 1 || !decaying) {
        std::fill(to_end.row(i), to_end.row(i) + width, 1.0f);
      } else {
        multiply_rows(width, decays.row(i + 1), to_end.row(i + 1), to_end.row(i));
      }
      multiply_rows(width, to_end.row(i), keys.row(i), written.row(i));
    }
  }

  void load_queries(const Inputs& in, const Place& place) {
    place.load_queries(begin, rows, in.q, in.scale, queries);
    for (Index i = 0; i < rows; ++i) {
      multiply_rows(width, from_start.row(i), queries.row(i), read.row(i));
    }
  }

  // Calls each(i) for every token while `table` holds E_ij ⊙ k_j for all j ≤ i.
  template <class Each>
  void with_decayed_keys(const Each& each) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; decaying && j < i; ++j) decay_row(i, j);
      std::copy(keys.row(i), keys.row(i) + width, table.row(i));
      each(i);
    }
  }

  // Calls each(j) for every token from the last, while `table` holds E_ij ⊙ q_i for all i ≥ j.
  template <class Each>
  void with_decayed_queries(const Each& each) {
    for (Index j = rows - 1; j >= 0; --j) {
      for (Index i = j + 1; decaying && i < rows; ++i) decay_row(j + 1, i);
      std::copy(queries.row(j), queries.row(j) + width, table.row(j));
      each(j);
    }
  }

  void score_row(Index i) {
    for (Index j = 0; j <= i; ++j) scores.row(i)[j] = dot(width, queries.row(i), table.row(j));
  }

  // outputs ← outputs + P v, row by row: what is not finite stays out of the tokens before it.
  template <int W>
  void read_values(Index column, const Matrix& outputs) const {
    for (Index i = 0; i < rows; ++i) {
      Vector out[W];
      for (int w = 0; w < W; ++w) out[w] = load(outputs.row(i) + column + w * LANES);
      for (Index j = 0; j <= i; ++j) {
        const Vector p = broadcast(scores.row(i)[j]);
        for (int w = 0; w < W; ++w) {
          out[w] = fma(p, load(values.row(j) + column + w * LANES), out[w]);
        }
      }
      for (int w = 0; w < W; ++w) store(outputs.row(i) + column + w * LANES, out[w]);
    }
  }

 private:
  void decay_row(Index token, Index row) {
    multiply_rows(width, decays.row(token), table.row(row), table.row(row));
  }

  void load_decay(const Inputs& in, const Place& place, Index i) {
    float* decay = decays.row(i);
    if (in.decays == 1) {
      const Vector all = exp(broadcast(in.log_decay[place.at(begin + i)]));
      for (Index j = 0; j < width; j += LANES) store(decay + j, all);
    } else if (in.decays > 1) {
      load_row(in.log_decay + place.key(begin + i), in.decays, 1.0f, decay);
      for (Index j = 0; j < width; j += LANES) store(decay + j, exp(load(decay + j)));
    }
    if (!decaying) {
      std::fill(from_start.row(i), from_start.row(i) + width, 1.0f);
    } else if (i == 0) {
      std::copy(decay, decay + width, from_start.row(0));
    } else {
      multiply_rows(width, decay, from_start.row(i - 1), from_start.row(i));
    }
  }
};

}  // namespace lengthwise::gated_linear_attention
