"""Triton kernels of the causal convolution: a tile of tokens and channels a program.

With the initial state put before x, y_t = bias + Σ_w weight_w · padded_{t + w}, and the final
state is the last W − 1 entries of `padded`.
"""

import triton
import triton.language as tl

SIZES = ["length", "channels", "batch"]


@triton.jit
def _padded(
    x, initial, sequence, place, channel, length, channels, W: tl.constexpr, INITIAL: tl.constexpr
):
    """Rows `place` of the initial state followed by x: [BT, BE] in float32, zeros outside."""
    time = place - (W - 1)
    live = (channel < channels)[None, :]
    inside = ((time >= 0) & (time < length))[:, None] & live
    at = (sequence * length + time)[:, None] * channels + channel[None, :]
    tile = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    if INITIAL:
        inside = ((time < 0) & (place >= 0))[:, None] & live
        at = (sequence * channels + channel)[None, :] * (W - 1) + place[:, None]
        tile += tl.load(initial + at, mask=inside, other=0.0).to(tl.float32)
    return tile


@triton.jit(do_not_specialize=SIZES)
def convolve(
    x, weight, bias, initial, output, final, length, channels, batch,
    W: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, BIAS: tl.constexpr, INITIAL: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    time = tl.program_id(0) * BT + tl.arange(0, BT)
    filters = sequence // batch * channels + channel
    result = tl.zeros([BT, BE], tl.float32)
    if BIAS:
        result += tl.load(bias + filters, mask=live, other=0.0).to(tl.float32)[None, :]
    for w in tl.static_range(W):
        tap = tl.load(weight + filters * W + w, mask=live, other=0.0).to(tl.float32)
        tile = _padded(x, initial, sequence, time + w, channel, length, channels, W, INITIAL)
        result += tap[None, :] * tile
    inside = (time < length)[:, None] & live[None, :]
    at = (sequence * length + time)[:, None] * channels + channel[None, :]
    tl.store(output + at, result.to(output.dtype.element_ty), mask=inside)
    if W > 1:
        kept = time - length
        if (tl.program_id(0) + 1) * BT > length:
            tile = _padded(x, initial, sequence, time, channel, length, channels, W, INITIAL)
            at = (sequence * channels + channel)[None, :] * (W - 1) + kept[:, None]
            inside = ((kept >= 0) & (kept < W - 1))[:, None] & live[None, :]
            tl.store(final + at, tile.to(final.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def convolve_back(
    x, weight, initial, output_gradient, state_gradient, dx, dinitial, shares,
    length, channels, batch,
    W: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, INITIAL: tl.constexpr, FINAL: tl.constexpr,
):  # fmt: skip
    """All gradients; `shares` [S, tiles, W + 1, E] hold each tile's part of dweight and dbias."""
    sequence = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    place = tl.program_id(0) * BT + tl.arange(0, BT)
    filters = sequence // batch * channels + channel
    at = (sequence * tl.num_programs(0) + tl.program_id(0)) * (W + 1) * channels + channel
    of_padded = tl.zeros([BT, BE], tl.float32)
    for w in tl.static_range(W):
        time = place - w
        inside = ((time >= 0) & (time < length))[:, None] & live[None, :]
        source = output_gradient + (sequence * length + time)[:, None] * channels + channel[None, :]
        gradient = tl.load(source, mask=inside, other=0.0).to(tl.float32)
        tap = tl.load(weight + filters * W + w, mask=live, other=0.0).to(tl.float32)
        of_padded += tap[None, :] * gradient
        # `place` runs over all of padded, so each of its rows meets the outputs it went into.
        tile = _padded(x, initial, sequence, place, channel, length, channels, W, INITIAL)
        tl.store(shares + at + w * channels, tl.sum(gradient * tile, 0), mask=live)
        if w == 0:
            tl.store(shares + at + W * channels, tl.sum(gradient, 0), mask=live)
    if FINAL:
        kept = place - length
        source = (sequence * channels + channel)[None, :] * (W - 1) + kept[:, None]
        inside = ((kept >= 0) & (kept < W - 1))[:, None] & live[None, :]
        of_padded += tl.load(state_gradient + source, mask=inside, other=0.0).to(tl.float32)
    time = place - (W - 1)
    inside = ((time >= 0) & (time < length))[:, None] & live[None, :]
    target = (sequence * length + time)[:, None] * channels + channel[None, :]
    tl.store(dx + target, of_padded.to(dx.dtype.element_ty), mask=inside)
    if INITIAL:
        inside = (place < W - 1)[:, None] & live[None, :]
        target = (sequence * channels + channel)[None, :] * (W - 1) + place[:, None]
        tl.store(dinitial + target, of_padded.to(dinitial.dtype.element_ty), mask=inside)
