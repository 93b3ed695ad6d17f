"""What the selective scan's kernels load, keep and ask for: rows, states, weights, step sizes.

Rows are [BE] channels, states and rates [N, E], weights [T, N]. EVEN: nothing is masked.
"""

import triton
import triton.language as tl
from triton.language.target_info import cuda_capability_geq

LOG2E = tl.constexpr(1.4426950408889634)
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def live_if(condition, channel, channels):
    """The mask of a block of channels, all of it false unless the condition holds."""
    return channel < tl.where(condition, channels, 0)


@triton.jit
def load_row(rows, index, left, channel, channels, EVEN: tl.constexpr):
    """Row `index` of [T, E] in float32; zeros from row `left` on."""
    place = rows + index * channels + channel
    if EVEN:
        row = tl.load(place)
    else:
        row = tl.load(place, mask=live_if(index < left, channel, channels), other=0.0)
    return row.to(tl.float32)


@triton.jit
def softplus(z):
    """log(1 + exp z) = max(z, 0) + 2 artanh(u / (2 + u)) for u = exp −|z|, to the last digits.

    The argument is at most 1/3: seven terms of the series.
    """
    small = tl.exp2(-tl.abs(z) * LOG2E)
    root = tl.rsqrt(2.0 + small)  # a division costs five times as much
    t = small * root * root
    square = t * t
    series = 1.0 / 13.0 + square * (1.0 / 15.0)
    for k in tl.static_range(11, 0, -2):
        series = 1.0 / k + square * series
    return tl.maximum(z, 0.0) + 2.0 * t * series


@triton.jit
def load_step(rows, index, left, channel, channels, bias, SOFT: tl.constexpr, EVEN: tl.constexpr):
    """Row `index` of delta, or SOFT its softplus after the bias."""
    step = load_row(rows, index, left, channel, channels, EVEN)
    if SOFT:
        step = softplus(step + bias)
        if not EVEN:
            step = tl.where(index < left, step, 0.0)
    return step


@triton.jit
def load_channels(source, member, channel, channels, GIVEN: tl.constexpr):
    """A member's numbers a channel in float32; zeros where none are given."""
    numbers = tl.zeros(channel.shape, tl.float32)
    if GIVEN:
        numbers += tl.load(
            source + member * channels + channel, mask=channel < channels, other=0.0
        ).to(tl.float32)
    return numbers


@triton.jit
def load_weights(rows, left, n, N: tl.constexpr, BT: tl.constexpr, EVEN: tl.constexpr):
    """Column n of BT rows of [T, N] as numbers in float32; zeros from row `left` on."""
    weights = ()
    for i in tl.static_range(BT):
        place = rows + i * N + n
        weight = tl.load(place) if EVEN else tl.load(place, mask=i < left, other=0.0)
        weights = weights + (weight.to(tl.float32),)
    return weights


@triton.jit
def load_states(rows, channels, mask, N: tl.constexpr):
    """[N, E] as a tuple of N rows, zeros where masked."""
    states = ()
    for n in tl.static_range(N):
        states = states + (tl.load(rows + n * channels, mask=mask, other=0.0),)
    return states


@triton.jit
def store_states(rows, channels, live, states, N: tl.constexpr):
    for n in tl.static_range(N):
        tl.store(rows + n * channels, states[n].to(rows.dtype.element_ty), mask=live)


@triton.jit
def ask_for(rows, first, stride, COUNT: tl.constexpr, SIZE: tl.constexpr, EVEN: tl.constexpr):
    """Have COUNT rows of SIZE numbers brought into the second cache; nothing waits for them.

    From Hopper on, and only of full tiles: the instruction counts in 16 bytes.
    """
    BYTES: tl.constexpr = SIZE * rows.dtype.element_ty.primitive_bitwidth // 8
    if EVEN and BYTES % 16 == 0 and not INTERPRETED and cuda_capability_geq(9):
        row = tl.arange(0, 32)
        place = (rows + first + tl.minimum(row, COUNT - 1) * stride).to(tl.int64) & -16
        tl.inline_asm_elementwise(
            "{ .reg .pred wanted; setp.ne.u32 wanted, $2, 0;"
            " @wanted cp.async.bulk.prefetch.L2.global [$1], $3; mov.u32 $0, 0; }",
            "=r,l,r,r",
            [place, (row < COUNT).to(tl.int32), tl.full([32], BYTES, tl.int32)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )


@triton.jit
def store_row(rows, index, left, channel, channels, row):
    inside = live_if(index < left, channel, channels)
    tl.store(rows + index * channels + channel, row.to(rows.dtype.element_ty), mask=inside)
