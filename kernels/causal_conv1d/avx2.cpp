// The causal depthwise convolution, LANES channels at a time, forward and backward.
//
// A task is one sequence of one member and a block of LANES channels, whose filter [W][LANES] and
// inputs before the first token [W − 1][LANES] stay in the first cache.

#include "../vector.h"

using namespace lengthwise;

namespace {

constexpr Index SPAN = 256;  // steps whose weight gradients are added up by themselves: it errs less

struct Sizes {
  Index members, batch, length, channels, width;

  Index blocks() const { return ceil_div(channels, LANES); }
  Index tasks() const { return members * batch * blocks(); }
};

// Starting a thread takes some 30 µs, so each gets at least a few times that much arithmetic.
Index useful(const Sizes& s, Index threads) {
  const Index products = s.members * s.batch * s.length * s.channels * s.width;
  return std::clamp<Index>(products >> 20, 1, std::max<Index>(threads, 1));
}

struct Block {
  Index member, sequence, channel, count;
  Lanes lanes;

  Block(const Sizes& s, Index task)
      : member(task / s.blocks() / s.batch),
        sequence(task / s.blocks()),
        channel(task % s.blocks() * LANES),
        count(std::min(LANES, s.channels - channel)),
        lanes(count) {}

  // Where the row of a token begins.
  Index row(const Sizes& s, Index t) const {
    return (sequence * s.length + t) * s.channels + channel;
  }
};

// x_t, or what came t steps before the first token.
Vector input(const Sizes& s, const Block& block, const float* x, const float* before, Index t) {
  return t < 0 ? load(before + (t + s.width - 1) * LANES)
               : block.lanes.load(x + block.row(s, t));
}

void forward(const Sizes& s, const float* x, const float* weight, const float* bias,
             const float* initial, float* y, Index task, float* scratch) {
  const Block block(s, task);
  const Index W = s.width;
  float* filter = scratch;
  float* before = filter + W * LANES;
  gather(at(weight, (block.member * s.channels + block.channel) * W), block.count, W, filter);
  gather(at(initial, (block.sequence * s.channels + block.channel) * (W - 1)), block.count, W - 1,
         before);
  const Vector start = bias ? block.lanes.load(bias + block.member * s.channels + block.channel)
                            : zero();
  for (Index t = 0; t < s.length; ++t) {
    Vector out = start;
    for (Index w = 0; w < W; ++w) {
      const Vector value = input(s, block, x, before, t - W + 1 + w);
      out = fma(value, load(filter + w * LANES), out);
    }
    block.lanes.store(y + block.row(s, t), out);
  }
}

struct Gradients {
  const float* y;
  float *x, *weight, *bias, *initial;  // of weight and bias a sequence's share
};

void backward(const Sizes& s, const float* x, const float* weight, const float* initial,
              const Gradients& grad, Index task, float* scratch) {
  const Block block(s, task);
  const Index W = s.width, channel = block.sequence * s.channels + block.channel;
  float* filter = scratch;
  float* before = filter + W * LANES;
  float* to_before = before + W * LANES;
  float* sums = to_before + W * LANES;
  float* span = sums + W * LANES;
  gather(at(weight, (block.member * s.channels + block.channel) * W), block.count, W, filter);
  gather(at(initial, channel * (W - 1)), block.count, W - 1, before);

  // x_t goes into y_{t + W − 1 − w} through tap w.
  for (Index t = 1 - W; t < s.length; ++t) {
    Vector sum = zero();
    for (Index w = 0; w < W; ++w) {
      const Index to = t + W - 1 - w;
      if (to < 0 || to >= s.length) continue;
      const Vector dy = block.lanes.load(grad.y + block.row(s, to));
      sum = fma(dy, load(filter + w * LANES), sum);
    }
    if (t < 0) {
      store(to_before + (t + W - 1) * LANES, sum);
    } else {
      block.lanes.store(grad.x + block.row(s, t), sum);
    }
  }
  scatter(to_before, block.count, W - 1, grad.initial + channel * (W - 1));

  std::fill(sums, sums + W * LANES, 0.0f);
  Vector bias_sum = zero();
  for (Index begin = 0; begin < s.length; begin += SPAN) {
    std::fill(span, span + W * LANES, 0.0f);
    Vector bias_span = zero();
    for (Index t = begin; t < std::min(begin + SPAN, s.length); ++t) {
      const Vector dy = block.lanes.load(grad.y + block.row(s, t));
      bias_span = add(bias_span, dy);
      for (Index w = 0; w < W; ++w) {
        add_to(span + w * LANES, mul(dy, input(s, block, x, before, t - W + 1 + w)));
      }
    }
    for (Index w = 0; w < W; ++w) add_to(sums + w * LANES, load(span + w * LANES));
    bias_sum = add(bias_sum, bias_span);
  }
  scatter(sums, block.count, W, grad.weight + channel * W);
  block.lanes.store(grad.bias + channel, bias_sum);
}

}  // namespace

// Shapes, row-major: x, y [M,B,T,E]; weight [M,E,W]; bias [M,E] or null; initial [M,B,E,W−1] or
// null. Returns 0, or 1 when memory is short.
LENGTHWISE_API int lengthwise_causal_conv1d(Index members, Index batch, Index length,
                                            Index channels, Index width, Index threads,
                                            const float* x, const float* weight, const float* bias,
                                            const float* initial, float* y) {
  const Sizes s{members, batch, length, channels, width};
  return !in_parallel(s.tasks(), useful(s, threads), 2 * width * LANES,
                      [&](Index task, float* scratch) {
                        forward(s, x, weight, bias, initial, y, task, scratch);
                      });
}

// Beside those: dweight [M,B,E,W] and dbias [M,B,E] are a sequence's share, which the caller adds up.
LENGTHWISE_API int lengthwise_causal_conv1d_backward(
    Index members, Index batch, Index length, Index channels, Index width, Index threads,
    const float* x, const float* weight, const float* initial, const float* dy, float* dx,
    float* dweight, float* dbias, float* dinitial) {
  const Sizes s{members, batch, length, channels, width};
  const Gradients grad{dy, dx, dweight, dbias, dinitial};
  return !in_parallel(s.tasks(), useful(s, threads), 5 * width * LANES,
                      [&](Index task, float* scratch) {
                        backward(s, x, weight, initial, grad, task, scratch);
                      });
}
