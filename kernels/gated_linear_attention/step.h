// One token of gated linear attention: the state is read once and written once, and never copied.
#pragma once

#include "chunk.h"

namespace lengthwise::gated_linear_attention {

template <int W>
void step_columns(const Heads& s, const Inputs& in, Index head, Index column, const float* decays,
                  float* o, float* final) {
  const float *k = in.k + head * s.keys, *q = in.q + head * s.keys;
  const Index whole = head * s.keys * s.values + column, value = head * s.values + column;
  const Strip<W> strip(s.values - column);
  Vector v[W], out[W];
  for (int w = 0; w < W; ++w) {
    v[w] = strip.load(in.v + value, w);
    out[w] = zero();
  }
  for (Index p = 0; p < s.keys; ++p) {
    const float* from = in.initial ? in.initial + whole + p * s.values : nullptr;
    const Vector decay = broadcast(decays[p]);
    for (int w = 0; w < W; ++w) {
      const Vector kept = from ? mul(decay, strip.load(from, w)) : zero();
      const Vector row = fma(broadcast(k[p]), v[w], kept);
      strip.store(final + whole + p * s.values, w, row);
      out[w] = fma(broadcast(q[p]), row, out[w]);
    }
  }
  for (int w = 0; w < W; ++w) strip.store(o + value, w, mul(broadcast(in.scale), out[w]));
}

// decays: room for K numbers, whole vectors.
inline void step(const Heads& s, const Inputs& in, Index head, float* decays, float* o,
                 float* final) {
  std::fill(decays, decays + s.keys, in.decays == 1 ? in.log_decay[head] : 0.0f);
  if (in.decays > 1) load_row(in.log_decay + head * s.keys, s.keys, 1.0f, decays);
  for (Index j = 0; j < s.keys; j += LANES) store(decays + j, exp(load(decays + j)));
  over_columns<4>(s.values, [&](Index column, auto width) {
    step_columns<width()>(s, in, head, column, decays, o, final);
  });
}

}  // namespace lengthwise::gated_linear_attention
