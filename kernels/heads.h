// What the operators with a state [K][V] a head share: how heads are shared out over tasks, and where
// a task's data begins.
#pragma once

#include "matrix.h"

namespace lengthwise {

// A task is one head of one sequence and a group of its value columns, which do not know of one
// another.
constexpr int STRIP = 32 / LANES;  // vectors of a row that are worked on together

struct Heads {
  Index batch, length, heads, keys, values;
  Index segment;  // tokens between two states that are kept for the backward pass
  Index groups;   // of value columns

  Index group() const { return padded(ceil_div(values, groups)); }
  Index tasks() const { return batch * heads * groups; }
  Index segments() const { return ceil_div(length, segment); }
  Index key_step() const { return heads * keys; }
  Index value_step() const { return heads * values; }

  Index useful(Index threads) const {
    return threads_for(batch * heads * length * keys * values, threads);
  }

  // Value columns do not change with their groups, but each group needs the scores.
  void share_out(Index hands) {
    groups = std::clamp<Index>(hands / (batch * heads), 1, ceil_div(values, 16));
  }
};

struct Place {
  const Heads& sizes;
  Index head, group, first, columns;  // the first of its value columns, and how many there are
  Index token;                        // of [B, T, H], the head's first

  Place(const Heads& s, Index task)
      : sizes(s),
        head(task / s.groups),
        group(task % s.groups),
        first(group * s.group()),
        columns(std::max<Index>(0, std::min(s.group(), s.values - first))),
        token(head / s.heads * s.length * s.heads + head % s.heads) {}

  // Offsets of time step t in [B, T, H], [B, T, H, K] and, at the first column, [B, T, H, V].
  Index at(Index t) const { return token + t * sizes.heads; }
  Index key(Index t) const { return at(t) * sizes.keys; }
  Index value(Index t) const { return at(t) * sizes.values + first; }

  // The same in the share [G, B, T, H] of this group.
  Index share(Index t) const { return group * sizes.batch * sizes.length * sizes.heads + at(t); }

  // Offsets of the state in [B, H, K, V], and of the one that enters a segment but the first.
  Index state() const { return head * sizes.keys * sizes.values + first; }
  Index kept(Index segment) const {
    const Index slot = head * (sizes.segments() - 1) + segment - 1;
    return slot * sizes.keys * sizes.values + first;
  }

  // A state in scratch, its rows padded as well so that it can be transposed.
  void load_state(const float* from, const Matrix& to) const {
    load_block(sizes.keys, columns, from, sizes.values, to);
    clear(padded(sizes.keys) - sizes.keys, padded(columns), {to.row(sizes.keys), to.stride});
  }

  void store_state(const Matrix& from, float* to) const {
    store_block(sizes.keys, columns, from, to, sizes.values);
  }

  void load_keys(Index t, Index rows, const float* k, const Matrix& to) const {
    load_block(rows, sizes.keys, k + key(t), sizes.key_step(), to);
  }

  void load_queries(Index t, Index rows, const float* q, float scale, const Matrix& to) const {
    for (Index i = 0; i < rows; ++i) load_row(q + key(t + i), sizes.keys, scale, to.row(i));
  }

  void load_values(Index t, Index rows, const float* v, const Matrix& to) const {
    load_block(rows, columns, v ? v + value(t) : nullptr, sizes.value_step(), to);
  }

  void store_values(Index t, Index rows, const Matrix& from, float* v) const {
    store_block(rows, columns, from, v + value(t), sizes.value_step());
  }

  // Asks for time steps that will be read soon, where there are any.
  void expect_keys(Index t, Index rows, const float* k) const {
    prefetch(rows, sizes.keys, k + key(t), sizes.key_step());
  }

  void expect_values(Index t, Index rows, const float* v) const {
    if (v) prefetch(rows, columns, v + value(t), sizes.value_step());
  }
};

// W neighbouring vectors of a row in the caller's memory, the last of them perhaps in part.
template <int W>
struct Strip {
  Lanes last;

  explicit Strip(Index count) : last(count - (W - 1) * LANES) {}

  Vector load(const float* from, int w) const {
    return w < W - 1 ? lengthwise::load(from + w * LANES) : last.load(from + w * LANES);
  }
  void store(float* to, int w, Vector value) const {
    w < W - 1 ? lengthwise::store(to + w * LANES, value) : last.store(to + w * LANES, value);
  }
};

// The states of one segment's chunks, transposed [V][K], in scratch.
struct States {
  Matrix all;
  Index group;

  States(const Heads& s, Index chunk, Scratch& scratch)
      : all(scratch.matrix(s.segment / chunk * s.group(), s.keys)), group(s.group()) {}

  Matrix operator[](Index chunk) const { return {all.row(chunk * group), all.stride}; }
};

}  // namespace lengthwise
