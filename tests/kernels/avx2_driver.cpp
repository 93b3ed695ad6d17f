// Runs the kernels on odd sizes in exactly as much memory as they may touch, for the sanitizers.
// The vectors are filled with small numbers: what is tested is where is read and written.

#include <cstdio>

#include "../../kernels/gated_delta_rule/gradients.h"
#include "../../kernels/gated_delta_rule/step.h"
#include "../../kernels/gated_linear_attention/gradients.h"
#include "../../kernels/gated_linear_attention/step.h"

using lengthwise::ceil_div;
using lengthwise::Index;
using Floats = std::vector<float>;

namespace scan {
#include "../../kernels/selective_scan/avx2.cpp"
}
namespace conv {
#include "../../kernels/causal_conv1d/avx2.cpp"
}
namespace delta {
#include "../../kernels/gated_delta_rule/avx2.cpp"
}
namespace linear {
#include "../../kernels/gated_linear_attention/avx2.cpp"
}

int run_scan(Index members, Index length, Index channels, Index states, bool optional) {
  const Index chunk = 32, group = 32, batch = 2, sequences = members * batch;
  const Index rows = sequences * length, state = sequences * channels * states;
  const Index weights = rows * states * ceil_div(channels, group);
  Floats x(rows * channels, 0.1f), delta(x), A(members * channels * states, -1.0f);
  Floats B(rows * states, 0.3f), C(B), D(members * channels, 0.5f), initial(state, 0.2f);
  Floats y(x.size()), final(state), dx(x.size()), ddelta(x.size()), dA(state);
  Floats entering(sequences * (ceil_div(length, chunk) - 1) * states * ceil_div(channels, 16) * 16);
  Floats dB(weights), dC(weights), dD(sequences * channels), dinitial(state);
  const float* skip = optional ? D.data() : nullptr;
  const float* first = optional ? initial.data() : nullptr;
  return scan::lengthwise_selective_scan(members, batch, length, channels, states, chunk, group, 2,
                                         x.data(), delta.data(), A.data(), B.data(), C.data(), skip,
                                         first, y.data(), final.data(), entering.data()) |
         scan::lengthwise_selective_scan_backward(
             members, batch, length, channels, states, chunk, group, 2, x.data(), delta.data(),
             A.data(), B.data(), C.data(), skip, first, entering.data(), y.data(),
             optional ? final.data() : nullptr, dx.data(), ddelta.data(), dA.data(), dB.data(),
             dC.data(), dD.data(), dinitial.data());
}

int run_conv(Index members, Index length, Index channels, Index width, bool optional) {
  const Index batch = 2, sequences = members * batch;
  Floats x(sequences * length * channels, 0.1f), weight(members * channels * width, 0.3f), y(x);
  Floats bias(members * channels), dx(x), dweight(sequences * channels * width);
  Floats dbias(sequences * channels), before(sequences * channels * (width - 1)), dbefore(before);
  const float* past = optional ? before.data() : nullptr;
  return conv::lengthwise_causal_conv1d(members, batch, length, channels, width, 2, x.data(),
                                        weight.data(), optional ? bias.data() : nullptr, past,
                                        y.data()) |
         conv::lengthwise_causal_conv1d_backward(
             members, batch, length, channels, width, 2, x.data(), weight.data(), past, y.data(),
             dx.data(), dweight.data(), dbias.data(), dbefore.data());
}

int run_heads(Index batch, Index heads, Index threads, Index length, Index keys, Index values,
              Index groups, bool optional) {
  const Index segment = 64, tokens = batch * length * heads;
  const Index state = batch * heads * keys * values;
  Floats q(tokens * keys, 0.1f), k(q), v(tokens * values, 0.2f), beta(tokens, 0.5f), o(v), errors(v);
  Floats g(tokens * keys, -0.1f), initial(state, 0.1f), final(state), dinitial(state), dv(v);
  Floats entering(batch * heads * (ceil_div(length, segment) - 1) * keys * values);
  Floats dq(groups * q.size()), dk(dq), dbeta(groups * tokens), dg(groups * g.size());
  const float* first = optional ? initial.data() : nullptr;
  const float* decay = optional ? g.data() : nullptr;
  const float* dfinal = optional ? final.data() : nullptr;
  int wrong = 0;
  for (float* kept : {errors.data(), static_cast<float*>(nullptr)}) {
    wrong |= delta::lengthwise_gated_delta_rule(
        batch, length, heads, keys, values, segment, 0.5, threads, q.data(), k.data(), v.data(),
        beta.data(), decay, first, o.data(), final.data(), kept, kept ? entering.data() : nullptr);
  }
  wrong |= delta::lengthwise_gated_delta_rule_backward(
      batch, length, heads, keys, values, segment, groups, 0.5, threads, q.data(), k.data(), v.data(),
      beta.data(), decay, first, errors.data(), entering.data(), o.data(), dfinal, dq.data(),
      dk.data(), dv.data(), dbeta.data(), dg.data(), dinitial.data());
  for (Index decays : {Index{0}, Index{1}, keys}) {
    const float* each = decays ? g.data() : nullptr;
    wrong |= linear::lengthwise_gated_linear_attention(
                 batch, length, heads, keys, values, segment, decays, 0.5, threads, q.data(), k.data(),
                 v.data(), each, first, o.data(), final.data(), entering.data()) |
             linear::lengthwise_gated_linear_attention_backward(
                 batch, length, heads, keys, values, segment, decays, groups, 0.5, threads, q.data(),
                 k.data(), v.data(), each, first, entering.data(), o.data(), dfinal, dq.data(),
                 dk.data(), dv.data(), dg.data(), dinitial.data());
  }
  return wrong;
}

int main() {
  int wrong = 0;
  for (Index length : {1, 16, 31, 33, 64, 65, 70, 500})  // the longest is worth a second thread
    for (bool optional : {false, true}) {
      for (Index members : {1, 2})
        for (Index channels : {1, 7, 8, 41, 70})
          for (Index states : {1, 5, 16}) {
            wrong |= run_scan(members, length, channels, states, optional);
            wrong |= run_conv(members, length, channels, states, optional);
          }
      for (Index keys : {1, 8, 19})
        for (Index values : {1, 8, 40, 83})
          for (Index groups : {1, 3}) {
            wrong |= run_heads(2, 3, 2, length, keys, values, groups, optional);
            wrong |= run_heads(1, 1, 8, length, keys, values, groups, optional);
          }
    }
  std::puts(wrong ? "out of memory" : "clean");
  return wrong;
}
