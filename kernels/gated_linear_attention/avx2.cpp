// Gated linear attention chunk by chunk, forward and backward, in small matrix products.
//
// Time is walked through in chunks of CHUNK tokens with the state S [K][V] in scratch. All decays are
// vectors of K channels; one a head is the same K times. With F_i their product from a chunk's start
// to its token i and E_ij that from token j to i,
//
//   P_ij = q_i·(E_ij ⊙ k_j)  (j ≤ i),   o_i = Sᵀ(F_i ⊙ q_i) + Σ_j P_ij v_j,
//   S ← F_C ⊙ S + Σ_j (E_Cj ⊙ k_j) v_jᵀ.
//
// Decays between two tokens are products and never quotients, so nothing overflows: a table of the
// keys so far decays with every row of P. The forward pass keeps S every `segment` tokens; the
// backward pass computes a segment's states again and walks its chunks from the last.

#include "gradients.h"
#include "step.h"

using namespace lengthwise;
using namespace lengthwise::gated_linear_attention;

namespace {

struct Outputs {
  float *o, *final, *entering;  // the last null where no backward pass follows
};

Index forward(const Heads& s, const Inputs& in, const Outputs& out, Index task, float* memory) {
  Scratch scratch(memory);
  Chunk chunk(s, in.decays, scratch);
  const Matrix state = scratch.matrix(padded(s.keys), s.group());
  const Matrix outputs = scratch.matrix(CHUNK, s.group());
  if (memory == nullptr) return scratch.used();

  const Place place(s, task);
  const Index columns = padded(place.columns);
  place.load_state(offset(in.initial, place.state()), state);
  for (Index begin = 0; begin < s.length; begin += CHUNK) {
    if (out.entering && begin > 0 && begin % s.segment == 0) {
      place.store_state(state, out.entering + place.kept(begin / s.segment));
    }
    chunk.load_written(in, place, begin);
    chunk.load_queries(in, place);
    const Index next = begin + CHUNK, coming = std::min(CHUNK, s.length - next);
    place.expect_keys(next, coming, in.q);
    place.expect_keys(next, coming, in.k);
    place.expect_values(next, coming, in.v);
    if (in.decays > 1) place.expect_keys(next, coming, in.log_decay);
    chunk.with_decayed_keys([&](Index i) { chunk.score_row(i); });
    multiply(chunk.rows, s.keys, columns, chunk.read, state, outputs);
    over_columns<STRIP>(columns, [&](Index column, auto width) {
      chunk.read_values<width()>(column, outputs);
    });
    place.store_values(begin, chunk.rows, outputs, out.o);
    multiply(s.keys, chunk.rows, columns, Left(chunk.written).transposed(), chunk.values, state,
             chunk.whole(), 1);
  }
  place.store_state(state, out.final + place.state());
  return scratch.used();
}

// The states at the start of a segment's chunks, from the one that enters it.
void recompute(const Inputs& in, const Place& place, Chunk& chunk, Index first, Index last,
               const States& states) {
  const Index width = chunk.width, columns = padded(place.columns);
  for (Index begin = first, n = 0; begin + CHUNK < last; begin += CHUNK, ++n) {
    chunk.load_written(in, place, begin);
    const Index next = begin + CHUNK, coming = std::min(CHUNK, last - next);
    place.expect_keys(next, coming, in.k);
    place.expect_values(next, coming, in.v);
    if (in.decays > 1) place.expect_keys(next, coming, in.log_decay);
    const Matrix before = states[n], after = states[n + 1];
    for (Index v = 0; v < columns; ++v) {
      multiply_rows(width, chunk.whole(), before.row(v), after.row(v));
    }
    multiply_add(columns, chunk.rows, width, Left(chunk.values).transposed(), chunk.written, after);
  }
}

Index backward(const Heads& s, const Inputs& in, const float* entering, const Gradients& grad,
               Index task, float* memory) {
  Scratch scratch(memory);
  Chunk chunk(s, in.decays, scratch);
  ChunkGradients gradients(s, scratch);
  const States states(s, CHUNK, scratch);
  const Matrix entered = scratch.matrix(padded(s.keys), s.group());
  if (memory == nullptr) return scratch.used();

  const Place place(s, task);
  const Index columns = padded(place.columns);
  place.load_state(offset(grad.final, place.state()), gradients.flow);
  for (Index segment = s.segments() - 1; segment >= 0; --segment) {
    const Index first = segment * s.segment, last = std::min(first + s.segment, s.length);
    place.load_state(segment ? entering + place.kept(segment) : offset(in.initial, place.state()),
                     entered);
    transpose(chunk.width, columns, entered, states[0]);
    recompute(in, place, chunk, first, last, states);
    for (Index n = (last - 1 - first) / CHUNK; n >= 0; --n) {
      const Index begin = first + n * CHUNK;
      chunk.load_written(in, place, begin);
      chunk.load_queries(in, place);
      place.load_values(begin, chunk.rows, grad.o, gradients.outputs);
      if (begin > 0) {
        place.expect_keys(begin - CHUNK, CHUNK, in.q);
        place.expect_values(begin - CHUNK, CHUNK, grad.o);
      }
      gradients.through_states(chunk, s.keys, columns, states[n]);
      gradients.through_scores(chunk, columns);
      gradients.write(in, place, chunk, grad);
      // dS ← F_C ⊙ dS + Σ_i (F_i ⊙ q_i) do_iᵀ
      multiply(s.keys, chunk.rows, columns, Left(chunk.read).transposed(), gradients.outputs,
               gradients.flow, chunk.whole(), 1);
    }
  }
  place.store_state(gradients.flow, grad.initial + place.state());
  return scratch.used();
}

}  // namespace

// Shapes, row-major: q, k [B,T,H,K]; v, o [B,T,H,V]; log_decay [B,T,H,decays] or null where decays is
// 0; initial [B,H,K,V] or null; final [B,H,K,V]; entering [B,H,segments − 1,K,V] or null where no
// backward pass follows; segment a multiple of CHUNK. Returns 0, or 1 when memory is short.
LENGTHWISE_API int lengthwise_gated_linear_attention(
    Index batch, Index length, Index heads, Index keys, Index values, Index segment, Index decays,
    double scale, Index threads, const float* q, const float* k, const float* v,
    const float* log_decay, const float* initial, float* o, float* final, float* entering) {
  Heads s{batch, length, heads, keys, values, segment, 1};
  const Index hands = s.useful(threads);
  s.share_out(hands);
  const Inputs in{q, k, v, log_decay, initial, decays, static_cast<float>(scale)};
  const Outputs out{o, final, entering};
  if (length == 1) {
    return !in_parallel(batch * heads, hands, padded(keys), [&](Index head, float* decays) {
      step(s, in, head, decays, o, final);
    });
  }
  return !in_parallel(s.tasks(), hands, forward(s, in, out, 0, nullptr),
                      [&](Index task, float* scratch) { forward(s, in, out, task, scratch); });
}

// Beside those: do, dfinal may be null; dq, dk [G,B,T,H,K], dlog_decay [G,B,T,H,decays] are the share
// of a group of value columns, which the caller adds up.
LENGTHWISE_API int lengthwise_gated_linear_attention_backward(
    Index batch, Index length, Index heads, Index keys, Index values, Index segment, Index decays,
    Index groups, double scale, Index threads, const float* q, const float* k, const float* v,
    const float* log_decay, const float* initial, const float* entering, const float* d_o,
    const float* dfinal, float* dq, float* dk, float* dv, float* dlog_decay, float* dinitial) {
  const Heads s{batch, length, heads, keys, values, segment, groups};
  const Inputs in{q, k, v, log_decay, initial, decays, static_cast<float>(scale)};
  const Gradients grad{d_o, dfinal, dq, dk, dv, dlog_decay, dinitial};
  return !in_parallel(
      s.tasks(), s.useful(threads), backward(s, in, entering, grad, 0, nullptr),
      [&](Index task, float* scratch) { backward(s, in, entering, grad, task, scratch); });
}
