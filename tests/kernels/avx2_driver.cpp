// Runs the kernels on odd sizes in exactly as much memory as they may touch, for the sanitizers.
// The vectors are filled with small numbers: what is tested is where is read and written.

#include <cstdio>

#include "../../kernels/vector.h"

using lengthwise::ceil_div;
using lengthwise::Index;
using lengthwise::LANES;
using Floats = std::vector<float>;

namespace scan {
#include "../../kernels/selective_scan/avx2.cpp"
}
namespace conv {
#include "../../kernels/causal_conv1d/avx2.cpp"
}

int main() {
  const Index chunk = 32, group = 32;
  for (Index members : {1, 2})
    for (Index length : {1, 31, 33, 70, 1000})  // the longest is worth a second thread
      for (Index channels : {1, 7, 8, 41})
        for (Index states : {1, 5, 16})
          for (bool optional : {false, true}) {
            const Index batch = 2, rows = members * batch * length, sequences = members * batch;
            const Index chunks = ceil_div(length, chunk), blocks = ceil_div(channels, LANES);
            const Index state = sequences * channels * states;
            const Index weights = rows * states * ceil_div(channels, group);
            Floats x(rows * channels, 0.1f), delta(x), A(members * channels * states, -1.0f);
            Floats B(rows * states, 0.3f), C(B), D(members * channels, 0.5f), initial(state, 0.2f);
            Floats y(x.size()), final(state), dx(x.size()), ddelta(x.size()), dA(state);
            Floats entering(sequences * (chunks - 1) * blocks * states * LANES);
            Floats dB(weights), dC(weights), dD(sequences * channels), dinitial(state);
            const float* skip = optional ? D.data() : nullptr;
            const float* first = optional ? initial.data() : nullptr;
            const int failed =
                scan::lengthwise_selective_scan(members, batch, length, channels, states, chunk, group, 2,
                                          x.data(), delta.data(), A.data(), B.data(), C.data(),
                                          skip, first, y.data(), final.data(), entering.data()) |
                scan::lengthwise_selective_scan_backward(
                    members, batch, length, channels, states, chunk, group, 2, x.data(),
                    delta.data(), A.data(), B.data(), C.data(), skip, first, entering.data(),
                    y.data(), optional ? final.data() : nullptr, dx.data(), ddelta.data(),
                    dA.data(), dB.data(), dC.data(), dD.data(), dinitial.data());
            if (failed) return 1;

            const Index width = states;
            Floats weight(members * channels * width, 0.3f);
            Floats dweight(sequences * channels * width), dbias(sequences * channels);
            Floats before(sequences * channels * (width - 1)), dbefore(before);
            const float* past = optional ? before.data() : nullptr;
            const int wrong =
                conv::lengthwise_causal_conv1d(members, batch, length, channels, width, 2, x.data(),
                                               weight.data(), skip, past, y.data()) |
                conv::lengthwise_causal_conv1d_backward(
                    members, batch, length, channels, width, 2, x.data(), weight.data(), past,
                    y.data(), dx.data(), dweight.data(), dbias.data(), dbefore.data());
            if (wrong) return 1;
          }
  std::puts("clean");
  return 0;
}
