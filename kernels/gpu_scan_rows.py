"""What the selective scan's kernels load, keep and ask for: rows, states, weights, step sizes.

A row is [32, BE / 32] channels: a thread of a warp holds the few of its line. States and rates are
[N, E]; weights, B and C turned, are [N, BT] in float32 a tile. EVEN: nothing is masked.
"""

import triton
import triton.language as tl

LN2 = tl.constexpr(0.6931471805599453)
LOG2E = tl.constexpr(1.4426950408889634)
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def channels_of(program, BE: tl.constexpr):
    """The channels of a program's block."""
    width: tl.constexpr = BE // 32
    return program * BE + tl.arange(0, 32)[:, None] * width + tl.arange(0, width)[None, :]


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
def softplus(z, FINE: tl.constexpr):
    """log(1 + exp z) = max(z, 0) + log(1 + u) for u = exp −|z|.

    FINE, to the last digits, as 2 artanh(u / (2 + u)): the argument is at most 1/3, so seven terms
    of the series do. Otherwise by the processor's logarithm, to 1e-4 of the step.
    """
    small = tl.exp2(-tl.abs(z) * LOG2E)
    if FINE:
        root = tl.rsqrt(2.0 + small)  # a division costs five times as much
        t = small * root * root
        square = t * t
        series = 1.0 / 13.0 + square * (1.0 / 15.0)
        for k in tl.static_range(11, 0, -2):
            series = 1.0 / k + square * series
        log = 2.0 * t * series
    else:
        log = tl.where(small < 0.001, small - 0.5 * small * small, LN2 * log2(1.0 + small))
    return tl.maximum(z, 0.0) + log


@triton.jit
def log2(x):
    """By one instruction: Triton's own is a polynomial."""
    if INTERPRETED:
        log = tl.log2(x)
    else:
        log = tl.inline_asm_elementwise(
            "lg2.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return log


@triton.jit
def slope(z):
    """The derivative of softplus, 1 / (1 + exp −z), to the last digits."""
    small = tl.exp2(-tl.abs(z) * LOG2E)
    root = tl.rsqrt(1.0 + small)
    return tl.where(z < 0.0, small, 1.0) * root * root


@triton.jit
def slope_of(step):
    """The derivative of softplus from its value, 1 − exp −step."""
    return tl.where(step < 0.001, step - 0.5 * step * step, 1.0 - tl.exp2(-step * LOG2E))


@triton.jit
def load_step(rows, index, left, channel, channels, bias, SOFT: tl.constexpr, EVEN: tl.constexpr):
    """Row `index` of delta, or SOFT its softplus after the bias."""
    step = load_row(rows, index, left, channel, channels, EVEN)
    if SOFT:
        step = softplus(step + bias, rows.dtype.element_ty == tl.float32)
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
def load_weights(rows, BT: tl.constexpr):
    """BT numbers that every thread holds, as columns [32, 1]: four a load.

    An instruction of its own: split by its last dimension, a tensor takes Triton a second.
    """
    weights = ()
    for i in tl.static_range(0, BT, 4):
        place = rows + i + tl.zeros([32, 1], tl.int32)
        if INTERPRETED:
            for j in tl.static_range(4):
                weights = weights + (tl.load(place + j),)
        else:
            weights = weights + tl.inline_asm_elementwise(
                "ld.global.v4.f32 {$0, $1, $2, $3}, [$4];",
                "=f,=f,=f,=f,l",
                [place.to(tl.int64)],
                dtype=(tl.float32, tl.float32, tl.float32, tl.float32),
                is_pure=False,
                pack=1,
            )
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
    """Have COUNT rows of SIZE numbers brought into the first cache; nothing waits for them.

    A lane asks for a line of 128 bytes, and there are 32 at most. Only full tiles are asked for.
    """
    WIDTH: tl.constexpr = rows.dtype.element_ty.primitive_bitwidth // 8
    LINES: tl.constexpr = (SIZE * WIDTH + 127) // 128
    if EVEN and not INTERPRETED:
        lane = tl.arange(0, 32)
        place = rows + first + lane // LINES * stride + lane % LINES * (128 // WIDTH)
        tl.inline_asm_elementwise(
            "{ .reg .pred wanted; setp.ne.u32 wanted, $2, 0;"
            " @wanted prefetch.global.L1 [$1]; mov.u32 $0, 0; }",
            "=r,l,r",
            [place.to(tl.int64), (lane < COUNT * LINES).to(tl.int32)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )


@triton.jit
def store_row(rows, index, left, channel, channels, row):
    inside = live_if(index < left, channel, channels)
    tl.store(rows + index * channels + channel, row.to(rows.dtype.element_ty), mask=inside)
