// The selective scan, LANES channels at a time, forward and backward.
//
// A task is one sequence of one member and a group of its channels. It walks through time in chunks,
// and in a chunk through its blocks of LANES channels, whose state [N][LANES] stays in the first cache.
// The forward pass keeps the state at the start of every chunk but the first ("entering"); the
// backward pass computes a chunk's states again from it.

#include "../matrix.h"

using namespace lengthwise;

namespace {

struct Sizes {
  Index members, batch, length, channels, states;
  Index chunk, group;  // steps of a chunk, blocks of a group

  Index chunks() const { return ceil_div(length, chunk); }
  Index blocks() const { return ceil_div(channels, LANES); }
  Index groups() const { return ceil_div(blocks(), group); }
  Index tasks() const { return members * batch * groups(); }
  Index tile() const { return states * LANES; }
};

Index useful(const Sizes& s, Index threads) {
  return threads_for(s.members * s.batch * s.length * s.channels * s.states * 2, threads);
}

struct Inputs {
  const float *x, *delta, *A, *B, *C, *D, *initial;
};

// Where a task's data begins.
struct Place {
  Index member, sequence, group, first, last;  // blocks first ≤ block < last

  Place(const Sizes& s, Index task)
      : member(task / s.groups() / s.batch),
        sequence(task / s.groups()),
        group(task % s.groups()),
        first(group * s.group),
        last(std::min(first + s.group, s.blocks())) {}
};

// One block of channels of one sequence, with the offsets of its rows.
struct Block {
  Index channel;
  Lanes lanes;
  Index count;

  Block(const Sizes& s, Index block)
      : channel(block * LANES),
        lanes(s.channels - channel),
        count(std::min(LANES, s.channels - channel)) {}
};

void forward(const Sizes& s, const Inputs& in, Index task, float* scratch, float* y, float* final,
             float* entering) {
  const Place place(s, task);
  const Index N = s.states, E = s.channels, tile = s.tile();
  float* transitions = scratch;
  float* states = transitions + s.group * tile;
  const Index row = place.sequence * s.length;
  for (Index b = place.first; b < place.last; ++b) {
    const Block block(s, b);
    const Index k = (b - place.first) * tile;
    gather(in.A + (place.member * E + block.channel) * N, block.count, N, LANES, transitions + k);
    gather(offset(in.initial, (place.sequence * E + block.channel) * N), block.count, N, LANES,
           states + k);
  }
  for (Index chunk = 0; chunk < s.chunks(); ++chunk) {
    const Index begin = chunk * s.chunk, end = std::min(begin + s.chunk, s.length);
    for (Index b = place.first; b < place.last; ++b) {
      const Block block(s, b);
      const float* A = transitions + (b - place.first) * tile;
      float* h = states + (b - place.first) * tile;
      if (entering != nullptr && chunk > 0) {
        const Index slot = place.sequence * (s.chunks() - 1) + chunk - 1;
        std::copy(h, h + tile, entering + (slot * s.blocks() + b) * tile);
      }
      const Vector D = in.D ? block.lanes.load(in.D + place.member * E + block.channel) : zero();
      for (Index t = begin; t < end; ++t) {
        const Index offset = (row + t) * E + block.channel;
        const float* B = in.B + (row + t) * N;
        const float* C = in.C + (row + t) * N;
        const Vector x = block.lanes.load(in.x + offset);
        const Vector delta = block.lanes.load(in.delta + offset);
        const Vector write = mul(delta, x);
        Vector out = in.D ? mul(D, x) : zero();
        for (Index n = 0; n < N; ++n) {
          const Vector decay = exp(mul(delta, load(A + n * LANES)));
          const Vector added = mul(write, broadcast(B[n]));
          const Vector next = fma(decay, load(h + n * LANES), added);
          store(h + n * LANES, next);
          out = fma(next, broadcast(C[n]), out);
        }
        block.lanes.store(y + offset, out);
      }
    }
  }
  for (Index b = place.first; b < place.last; ++b) {
    const Block block(s, b);
    scatter(states + (b - place.first) * tile, block.count, N, LANES,
            final + (place.sequence * E + block.channel) * N);
  }
}

struct Gradients {
  const float *y, *final;                                // of the outputs, may be null
  float *x, *delta, *A, *B, *C, *D, *initial;            // A, D a sequence; B, C a group
};

// h_t for every t of the chunk behind h_{begin−1} in `states`, and exp(delta_t A) in `decays`.
void recompute(const Sizes& s, const Inputs& in, const Block& block, Index row, Index steps,
               const float* A, float* states, float* decays) {
  const Index N = s.states, tile = s.tile();
  for (Index i = 0; i < steps; ++i) {
    const Index offset = (row + i) * s.channels + block.channel;
    const float* B = in.B + (row + i) * N;
    const Vector delta = block.lanes.load(in.delta + offset);
    const Vector write = mul(delta, block.lanes.load(in.x + offset));
    const float* before = states + i * tile;
    float* after = states + (i + 1) * tile;
    float* kept = decays + i * tile;
    for (Index n = 0; n < tile; n += LANES) {
      const Vector decay = exp(mul(delta, load(A + n)));
      const Vector added = mul(write, broadcast(B[n / LANES]));
      store(kept + n, decay);
      store(after + n, fma(decay, load(before + n), added));
    }
  }
}

// With g_t the gradient of h_t: g_t = exp(delta_{t+1} A) g_{t+1} + C_t dy_t.
void backward(const Sizes& s, const Inputs& in, const float* entering, const Gradients& grad,
              Index task, float* scratch) {
  const Place place(s, task);
  const Index N = s.states, E = s.channels, tile = s.tile();
  float* transitions = scratch;                  // A
  float* flows = transitions + s.group * tile;    // g
  float* A_sums = flows + s.group * tile;         // gradient of A so far
  float* A_chunk = A_sums + s.group * tile;       // … and that of one chunk: shorter sums err less
  float* D_sums = A_chunk + tile;
  float* states = D_sums + s.group * LANES;       // [chunk + 1][N][LANES]
  float* decays = states + (s.chunk + 1) * tile;   // [chunk][N][LANES], as the next two
  float* B_sums = decays + s.chunk * tile;
  float* C_sums = B_sums + s.chunk * tile;
  for (Index b = place.first; b < place.last; ++b) {
    const Block block(s, b);
    const Index k = (b - place.first) * tile;
    gather(in.A + (place.member * E + block.channel) * N, block.count, N, LANES, transitions + k);
    gather(offset(grad.final, (place.sequence * E + block.channel) * N), block.count, N, LANES,
           flows + k);
  }
  std::fill(A_sums, A_sums + s.group * tile, 0.0f);
  std::fill(D_sums, D_sums + s.group * LANES, 0.0f);

  for (Index chunk = s.chunks() - 1; chunk >= 0; --chunk) {
    const Index begin = chunk * s.chunk, steps = std::min(s.chunk, s.length - begin);
    const Index row = place.sequence * s.length + begin;
    std::fill(B_sums, B_sums + steps * tile, 0.0f);
    std::fill(C_sums, C_sums + steps * tile, 0.0f);
    for (Index b = place.first; b < place.last; ++b) {
      const Block block(s, b);
      const float* A = transitions + (b - place.first) * tile;
      float* flow = flows + (b - place.first) * tile;
      if (chunk > 0) {
        const Index slot = place.sequence * (s.chunks() - 1) + chunk - 1;
        const float* kept = entering + (slot * s.blocks() + b) * tile;
        std::copy(kept, kept + tile, states);
      } else {
        gather(offset(in.initial, (place.sequence * E + block.channel) * N), block.count, N, LANES,
               states);
      }
      recompute(s, in, block, row, steps, A, states, decays);
      std::fill(A_chunk, A_chunk + tile, 0.0f);
      const Vector D = in.D ? block.lanes.load(in.D + place.member * E + block.channel) : zero();
      Vector D_sum = zero();
      for (Index i = steps - 1; i >= 0; --i) {
        const Index offset = (row + i) * E + block.channel;
        const float* B = in.B + (row + i) * N;
        const float* C = in.C + (row + i) * N;
        const Vector x = block.lanes.load(in.x + offset);
        const Vector delta = block.lanes.load(in.delta + offset);
        const Vector dy = grad.y ? block.lanes.load(grad.y + offset) : zero();
        const Vector write = mul(delta, x);
        const float *before = states + i * tile, *after = before + tile, *kept = decays + i * tile;
        float *B_sum = B_sums + i * tile, *C_sum = C_sums + i * tile;
        Vector to_write = zero(), to_exponent = zero();
        for (Index n = 0; n < tile; n += LANES) {
          const Vector decay = load(kept + n);
          const Vector read = broadcast(C[n / LANES]);
          const Vector g = fma(dy, read, load(flow + n));
          const Vector passed = mul(g, decay);
          const Vector exponent = mul(passed, load(before + n));
          add_to(C_sum + n, mul(dy, load(after + n)));
          add_to(B_sum + n, mul(g, write));
          add_to(A_chunk + n, mul(exponent, delta));
          to_write = fma(g, broadcast(B[n / LANES]), to_write);
          to_exponent = fma(exponent, load(A + n), to_exponent);
          store(flow + n, passed);
        }
        const Vector dx = mul(to_write, delta);
        block.lanes.store(grad.x + offset, in.D ? fma(dy, D, dx) : dx);
        block.lanes.store(grad.delta + offset, fma(to_write, x, to_exponent));
        D_sum = fma(dy, x, D_sum);
      }
      float* A_sum = A_sums + (b - place.first) * tile;
      for (Index n = 0; n < tile; n += LANES) add_to(A_sum + n, load(A_chunk + n));
      add_to(D_sums + (b - place.first) * LANES, D_sum);
    }
    const Index partial = place.sequence * s.groups() + place.group;
    for (Index i = 0; i < steps * N; ++i) {
      grad.B[(partial * s.length + begin) * N + i] = sum(load(B_sums + i * LANES));
      grad.C[(partial * s.length + begin) * N + i] = sum(load(C_sums + i * LANES));
    }
  }
  for (Index b = place.first; b < place.last; ++b) {
    const Block block(s, b);
    const Index k = (b - place.first) * tile, channel = place.sequence * E + block.channel;
    scatter(A_sums + k, block.count, N, LANES, grad.A + channel * N);
    scatter(flows + k, block.count, N, LANES, grad.initial + channel * N);
    block.lanes.store(grad.D + channel, load(D_sums + (b - place.first) * LANES));
  }
}

}  // namespace

// chunk: steps; group: channels, whole blocks. Shapes, row-major: x, delta, y [M,B,T,E];
// A [M,E,N]; B, C [M,B,T,N]; D [M,E] or null; initial [M,B,E,N] or null; final [M,B,E,N]; entering
// [M,B,chunks − 1,N,E], E padded to 16, or null where no backward pass follows. Returns 0, or 1 when
// memory is short.
LENGTHWISE_API int lengthwise_selective_scan(
    Index members, Index batch, Index length, Index channels, Index states, Index chunk,
    Index group, Index threads, const float* x, const float* delta, const float* A,
    const float* B, const float* C, const float* D, const float* initial,
    float* y, float* final, float* entering) {
  const Sizes s{members, batch, length, channels, states, chunk, group / LANES};
  const Inputs in{x, delta, A, B, C, D, initial};
  return !in_parallel(s.tasks(), useful(s, threads), 2 * s.group * s.tile(),
                      [&](Index task, float* scratch) {
                        forward(s, in, task, scratch, y, final, entering);
                      });
}

// Beside those: dy, dfinal may be null. dA [M,B,E,N] and dD [M,B,E] are a sequence's share, dB and
// dC [M,B,G,T,N] a group's; the caller adds them up, in an order that no number of threads changes.
LENGTHWISE_API int lengthwise_selective_scan_backward(
    Index members, Index batch, Index length, Index channels, Index states, Index chunk,
    Index group, Index threads, const float* x, const float* delta, const float* A,
    const float* B, const float* C, const float* D, const float* initial,
    const float* entering, const float* dy, const float* dfinal, float* dx, float* ddelta, float* dA,
    float* dB, float* dC, float* dD, float* dinitial) {
  const Sizes s{members, batch, length, channels, states, chunk, group / LANES};
  const Inputs in{x, delta, A, B, C, D, initial};
  const Gradients grad{dy, dfinal, dx, ddelta, dA, dB, dC, dD, dinitial};
  const Index tiles = 3 * s.group + 1 + (s.chunk + 1) + 3 * s.chunk;
  return !in_parallel(s.tasks(), useful(s, threads), tiles * s.tile() + s.group * LANES,
                      [&](Index task, float* scratch) {
                        backward(s, in, entering, grad, task, scratch);
                      });
}
