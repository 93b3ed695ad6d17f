// The gated delta rule chunk by chunk, forward and backward, in small matrix products.
//
// Time is walked through in chunks of CHUNK tokens with the state S [K][V] in scratch. With F_i the
// decay from a chunk's start to its token i, E_ij that from token j to i, and per chunk
//
//   N_ij = E_ij k_i·k_j  (j < i),   P_ij = E_ij q_i·k_j  (j ≤ i),
//
// the tokens' errors x and corrections u follow one another in a triangular system:
//
//   x_i = v_i − F_i Sᵀk_i − Σ_j N_ij u_j,   u_i = beta_i x_i,   o_i = F_i Sᵀq_i + Σ_j P_ij u_j,
//   S ← F_C S + Σ_j E_Cj k_j u_jᵀ.
//
// The forward pass keeps x and, every `segment` tokens, S. The backward pass finds a segment's
// states again from them (no system is solved twice) and walks its chunks from the last.

#include "gradients.h"
#include "step.h"

using namespace lengthwise;
using namespace lengthwise::gated_delta_rule;

namespace {

struct Outputs {
  float *o, *final, *errors, *entering;  // the last two null where no backward pass follows
};

Index forward(const Heads& s, const Inputs& in, const Outputs& out, Index task, float* memory) {
  Scratch scratch(memory);
  Chunk chunk(s, scratch);
  const Matrix state = scratch.matrix(padded(s.keys), s.group());
  const Matrix reads = scratch.matrix(2 * CHUNK, s.group());
  const Matrix errors = scratch.matrix(CHUNK, s.group());
  const Matrix corrections = scratch.matrix(CHUNK, s.group());
  if (memory == nullptr) return scratch.used();

  const Place place(s, task);
  const Index columns = padded(place.columns);
  place.load_state(offset(in.initial, place.state()), state);
  for (Index begin = 0; begin < s.length; begin += CHUNK) {
    if (out.entering && begin > 0 && begin % s.segment == 0) {
      place.store_state(state, out.entering + place.kept(begin / s.segment));
    }
    chunk.load_all(in, place, begin);
    place.load_values(begin, chunk.rows, in.v, errors);
    const Index next = begin + CHUNK, coming = std::min(CHUNK, s.length - next);
    place.expect_keys(next, coming, in.q);
    place.expect_keys(next, coming, in.k);
    place.expect_values(next, coming, in.v);
    multiply(2 * chunk.rows, s.keys, columns, chunk.qk, state, reads);
    over_columns<STRIP>(columns, [&](Index at, auto width) {
      chunk.correct<width()>(at, reads, errors, corrections);
    });
    place.store_values(begin, chunk.rows, reads, out.o);
    if (out.errors) place.store_values(begin, chunk.rows, errors, out.errors);
    chunk.decay_to_end(columns, corrections);
    multiply(s.keys, chunk.rows, columns, Left(chunk.keys()).transposed(), corrections, state,
             chunk.whole());
  }
  place.store_state(state, out.final + place.state());
  return scratch.used();
}

// The states at the start of a segment's chunks, from the one that enters it.
void recompute(const Inputs& in, const Place& place, const float* kept, Index first, Index last,
               Chunk& chunk, ChunkGradients& gradients, const States& states) {
  const Index width = padded(place.sizes.keys), columns = padded(place.columns);
  for (Index begin = first, n = 0; begin + CHUNK < last; begin += CHUNK, ++n) {
    chunk.load_keys(in, place, begin);
    gradients.load_corrections(chunk, place, kept);
    const Index next = begin + CHUNK, coming = std::min(CHUNK, last - next);
    place.expect_keys(next, coming, in.k);
    place.expect_values(next, coming, kept);
    chunk.decay_to_end(columns, gradients.corrections);
    const Matrix before = states[n], after = states[n + 1];
    for (Index v = 0; v < columns; ++v) load_row(before.row(v), width, *chunk.whole(), after.row(v));
    multiply_add(columns, chunk.rows, width, Left(gradients.corrections).transposed(),
                 chunk.keys(), after);
  }
}

Index backward(const Heads& s, const Inputs& in, const float* kept, const float* entering,
               const Gradients& grad, Index task, float* memory) {
  Scratch scratch(memory);
  Chunk chunk(s, scratch);
  ChunkGradients gradients(s, scratch);
  const States states(s, CHUNK, scratch);
  const Matrix entered = scratch.matrix(padded(s.keys), s.group());
  if (memory == nullptr) return scratch.used();

  const Place place(s, task);
  const Index columns = padded(place.columns), width = padded(s.keys);
  place.load_state(offset(grad.final, place.state()), gradients.flow);
  for (Index segment = s.segments() - 1; segment >= 0; --segment) {
    const Index first = segment * s.segment, last = std::min(first + s.segment, s.length);
    place.load_state(segment ? entering + place.kept(segment) : offset(in.initial, place.state()),
                     entered);
    transpose(width, columns, entered, states[0]);
    recompute(in, place, kept, first, last, chunk, gradients, states);
    for (Index n = (last - 1 - first) / CHUNK; n >= 0; --n) {
      const Index begin = first + n * CHUNK;
      chunk.load_all(in, place, begin);
      gradients.load_corrections(chunk, place, kept);
      place.load_values(begin, chunk.rows, grad.o, gradients.wide);
      if (begin > 0) {
        place.expect_keys(begin - CHUNK, CHUNK, in.q);
        place.expect_values(begin - CHUNK, CHUNK, grad.o);
      }
      transpose(width, columns, gradients.flow, gradients.flow_t);
      gradients.through_corrections(chunk, s.keys, columns);
      const Matrix to_values{gradients.wide.row(chunk.rows), gradients.wide.stride};
      place.store_values(begin, chunk.rows, to_values, grad.v);
      gradients.through_scores(chunk, columns);
      const float to_whole = gradients.through_states(chunk, columns, width, states[n]);
      gradients.write(in, place, chunk, grad, to_whole);
      // dS ← F_C dS + Σ_i F_i (q_i do_iᵀ − k_i dv_iᵀ)
      multiply(s.keys, 2 * chunk.rows, columns, Left(chunk.qk).transposed(), gradients.wide,
               gradients.flow, chunk.whole());
    }
  }
  place.store_state(gradients.flow, grad.initial + place.state());
  return scratch.used();
}

}  // namespace

// Shapes, row-major: q, k [B,T,H,K]; v, o, errors [B,T,H,V]; beta, log_decay [B,T,H], the latter may
// be null; initial [B,H,K,V] or null; final [B,H,K,V]; entering [B,H,segments − 1,K,V]; errors and
// entering null where no backward pass follows; segment a multiple of CHUNK. Returns 0, or 1 when
// memory is short.
LENGTHWISE_API int lengthwise_gated_delta_rule(
    Index batch, Index length, Index heads, Index keys, Index values, Index segment, double scale,
    Index threads, const float* q, const float* k, const float* v, const float* beta,
    const float* log_decay, const float* initial, float* o, float* final, float* errors,
    float* entering) {
  Heads s{batch, length, heads, keys, values, segment, 1};
  const Index hands = s.useful(threads);
  s.share_out(hands);
  const Inputs in{q, k, v, beta, log_decay, initial, static_cast<float>(scale)};
  const Outputs out{o, final, errors, entering};
  if (length == 1 && errors == nullptr) {
    return !in_parallel(batch * heads, hands, 0,
                        [&](Index head, float*) { step(s, in, head, o, final); });
  }
  return !in_parallel(s.tasks(), hands, forward(s, in, out, 0, nullptr),
                      [&](Index task, float* scratch) { forward(s, in, out, task, scratch); });
}

// Beside those: do, dfinal may be null; dq, dk [G,B,T,H,K], dbeta, dlog_decay [G,B,T,H] are the
// share of a group of value columns, which the caller adds up.
LENGTHWISE_API int lengthwise_gated_delta_rule_backward(
    Index batch, Index length, Index heads, Index keys, Index values, Index segment, Index groups,
    double scale, Index threads, const float* q, const float* k, const float* v, const float* beta,
    const float* log_decay, const float* initial, const float* errors, const float* entering,
    const float* d_o, const float* dfinal, float* dq, float* dk, float* dv, float* dbeta,
    float* dlog_decay, float* dinitial) {
  const Heads s{batch, length, heads, keys, values, segment, groups};
  const Inputs in{q, k, v, beta, log_decay, initial, static_cast<float>(scale)};
  const Gradients grad{d_o, dfinal, dq, dk, dv, dbeta, dlog_decay, dinitial};
  return !in_parallel(
      s.tasks(), s.useful(threads), backward(s, in, errors, entering, grad, 0, nullptr),
      [&](Index task, float* scratch) { backward(s, in, errors, entering, grad, task, scratch); });
}
