// The causal depthwise convolution, LANES channels at a time, forward and backward.
//
// A task is one sequence of one member and a group of its channels, whose filter [W][group] and inputs
// before the first token [W − 1][group] stay in the first cache, as do the last rows of x.

#include "../matrix.h"

using namespace lengthwise;

namespace {

constexpr Index GROUP = 64;  // channels: rows of a group are whole cache lines
constexpr Index SPAN = 256;  // steps whose weight gradients are added up by themselves: it errs less

struct Sizes {
  Index members, batch, length, channels, width;

  Index groups() const { return ceil_div(channels, GROUP); }
  Index tasks() const { return members * batch * groups(); }

  Index useful(Index threads) const {
    return threads_for(members * batch * length * channels * width, threads);
  }
};

struct Group {
  Index member, sequence, channel, count;

  Group(const Sizes& s, Index task)
      : member(task / s.groups() / s.batch),
        sequence(task / s.groups()),
        channel(task % s.groups() * GROUP),
        count(std::min(GROUP, s.channels - channel)) {}

  // Where the row of a token begins, in [M, B, T, E]; where the group begins in [M, E], [M, B, E].
  Index row(const Sizes& s, Index t) const {
    return (sequence * s.length + t) * s.channels + channel;
  }
  Index weight(const Sizes& s) const { return member * s.channels + channel; }
  Index state(const Sizes& s) const { return sequence * s.channels + channel; }
};

struct Inputs {
  const float *x, *weight, *bias, *initial;
};

// The filter, and the rows of x with those before the first token in front.
struct Window {
  const Sizes& s;
  const Group& group;
  const float* x;
  float *filter, *before;

  Window(const Sizes& s_, const Inputs& in, const Group& group_, float* scratch)
      : s(s_), group(group_), x(in.x), filter(scratch), before(scratch + s_.width * GROUP) {
    const Index kept = s.width - 1;
    gather(offset(in.weight, group.weight(s) * s.width), group.count, s.width, GROUP, filter);
    gather(offset(in.initial, group.state(s) * kept), group.count, kept, GROUP, before);
  }

  // x_t, or what came t steps before the first token.
  const float* row(Index t) const {
    return t < 0 ? before + (t + s.width - 1) * GROUP : x + group.row(s, t);
  }
};

void forward(const Sizes& s, const Inputs& in, float* y, Index task, float* scratch) {
  const Group group(s, task);
  const Window window(s, in, group, scratch);
  for (Index t = 0; t < s.length; ++t) {
    for (Index j = 0; j < group.count; j += LANES) {
      const Lanes lanes(group.count - j);
      Vector out = in.bias ? lanes.load(in.bias + group.weight(s) + j) : zero();
      for (Index w = 0; w < s.width; ++w) {
        const Vector value = lanes.load(window.row(t - s.width + 1 + w) + j);
        out = fma(value, load(window.filter + w * GROUP + j), out);
      }
      lanes.store(y + group.row(s, t) + j, out);
    }
  }
}

struct Gradients {
  const float* y;
  float *x, *weight, *bias, *initial;  // of weight and bias a sequence's share
};

// x_t goes into y_{t + W − 1 − w} through tap w.
void inputs_gradient(const Sizes& s, const Group& group, const Window& window,
                     const Gradients& grad, float* to_before) {
  for (Index t = 1 - s.width; t < s.length; ++t) {
    const Index first = std::max<Index>(0, t + s.width - s.length);
    const Index last = std::min(s.width, t + s.width);  // taps whose output is in the sequence
    for (Index j = 0; j < group.count; j += LANES) {
      const Lanes lanes(group.count - j);
      Vector total = zero();
      for (Index w = first; w < last; ++w) {
        const Vector dy = lanes.load(grad.y + group.row(s, t + s.width - 1 - w) + j);
        total = fma(dy, load(window.filter + w * GROUP + j), total);
      }
      if (t < 0) {
        store(to_before + (t + s.width - 1) * GROUP + j, total);
      } else {
        lanes.store(grad.x + group.row(s, t) + j, total);
      }
    }
  }
}

void weights_gradient(const Sizes& s, const Group& group, const Window& window,
                      const Gradients& grad, float* sums, float* span) {
  const Index taps = (s.width + 1) * GROUP;  // the last is the bias
  std::fill(sums, sums + taps, 0.0f);
  for (Index begin = 0; begin < s.length; begin += SPAN) {
    std::fill(span, span + taps, 0.0f);
    for (Index t = begin; t < std::min(begin + SPAN, s.length); ++t) {
      for (Index j = 0; j < group.count; j += LANES) {
        const Lanes lanes(group.count - j);
        const Vector dy = lanes.load(grad.y + group.row(s, t) + j);
        for (Index w = 0; w < s.width; ++w) {
          const Vector value = lanes.load(window.row(t - s.width + 1 + w) + j);
          float* tap = span + w * GROUP + j;
          store(tap, fma(dy, value, load(tap)));
        }
        add_to(span + s.width * GROUP + j, dy);
      }
    }
    for (Index j = 0; j < taps; j += LANES) add_to(sums + j, load(span + j));
  }
}

void backward(const Sizes& s, const Inputs& in, const Gradients& grad, Index task,
              float* scratch) {
  const Group group(s, task);
  const Window window(s, in, group, scratch);
  const Index W = s.width;
  float* to_before = scratch + 2 * W * GROUP;
  float* sums = to_before + W * GROUP;
  float* span = sums + (W + 1) * GROUP;
  inputs_gradient(s, group, window, grad, to_before);
  weights_gradient(s, group, window, grad, sums, span);
  scatter(to_before, group.count, W - 1, GROUP, grad.initial + group.state(s) * (W - 1));
  scatter(sums, group.count, W, GROUP, grad.weight + group.state(s) * W);
  store_row(sums + W * GROUP, group.count, 1.0f, grad.bias + group.state(s));
}

}  // namespace

// Shapes, row-major: x, y [M,B,T,E]; weight [M,E,W]; bias [M,E] or null; initial [M,B,E,W−1] or
// null. Returns 0, or 1 when memory is short.
LENGTHWISE_API int lengthwise_causal_conv1d(Index members, Index batch, Index length,
                                            Index channels, Index width, Index threads,
                                            const float* x, const float* weight, const float* bias,
                                            const float* initial, float* y) {
  const Sizes s{members, batch, length, channels, width};
  const Inputs in{x, weight, bias, initial};
  return !in_parallel(s.tasks(), s.useful(threads), 2 * width * GROUP,
                      [&](Index task, float* scratch) { forward(s, in, y, task, scratch); });
}

// Beside those: dweight [M,B,E,W] and dbias [M,B,E] are a sequence's share, which the caller adds up.
LENGTHWISE_API int lengthwise_causal_conv1d_backward(
    Index members, Index batch, Index length, Index channels, Index width, Index threads,
    const float* x, const float* weight, const float* initial, const float* dy, float* dx,
    float* dweight, float* dbias, float* dinitial) {
  const Sizes s{members, batch, length, channels, width};
  const Inputs in{x, weight, nullptr, initial};
  const Gradients grad{dy, dx, dweight, dbias, dinitial};
  return !in_parallel(s.tasks(), s.useful(threads), (5 * width + 2) * GROUP,
                      [&](Index task, float* scratch) { backward(s, in, grad, task, scratch); });
}
