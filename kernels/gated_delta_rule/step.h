// One token of the gated delta rule: the state is read twice and written once, and never copied.
#pragma once

#include "chunk.h"

namespace lengthwise::gated_delta_rule {

template <int W>
void step_columns(const Heads& s, const Inputs& in, Index head, Index column, float scores, float* o,
                  float* final) {
  const float *k = in.k + head * s.keys, *q = in.q + head * s.keys;
  const Index whole = head * s.keys * s.values + column, value = head * s.values + column;
  const Strip<W> strip(s.values - column);
  Vector held[W], found[W], u[W];
  for (int w = 0; w < W; ++w) held[w] = found[w] = zero();
  for (Index p = 0; in.initial && p < s.keys; ++p) {
    for (int w = 0; w < W; ++w) {
      const Vector row = strip.load(in.initial + whole + p * s.values, w);
      held[w] = fma(broadcast(k[p]), row, held[w]);
      found[w] = fma(broadcast(q[p]), row, found[w]);
    }
  }
  const Vector decay = exp(broadcast(in.log_decay ? in.log_decay[head] : 0.0f));
  const Vector beta = broadcast(in.beta[head]), scale = broadcast(in.scale);
  for (int w = 0; w < W; ++w) {
    u[w] = mul(beta, fnma(decay, held[w], strip.load(in.v + value, w)));
    strip.store(o + value, w, mul(scale, fma(broadcast(scores), u[w], mul(decay, found[w]))));
  }
  for (Index p = 0; p < s.keys; ++p) {
    for (int w = 0; w < W; ++w) {
      const float* from = in.initial ? in.initial + whole + p * s.values : nullptr;
      const Vector kept = from ? mul(decay, strip.load(from, w)) : zero();
      strip.store(final + whole + p * s.values, w, fma(broadcast(k[p]), u[w], kept));
    }
  }
}

inline void step(const Heads& s, const Inputs& in, Index head, float* o, float* final) {
  float scores = 0.0f;
  for (Index p = 0; p < s.keys; ++p) scores += in.q[head * s.keys + p] * in.k[head * s.keys + p];
  over_columns<4>(s.values, [&](Index column, auto width) {
    step_columns<width()>(s, in, head, column, scores, o, final);
  });
}

}  // namespace lengthwise::gated_delta_rule
