"""Triton kernels that give each time segment of a selective scan the state it starts from.

All segments find side by side what they add to a state; a scan over the segments joins them.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_kernels import (
    SIZES,
    compose,
    load_channels,
    load_column,
    load_tile,
    take_row,
)


@triton.jit(do_not_specialize=SIZES)
def summarise_segments(
    source, delta, A, weights, additions, spans, length, channels, batch, segments, tiles,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """What a segment adds to the state behind it, or to the gradient of the state before it.

    Forward, source is x and weights are B; backward, source is dy and weights are C. `spans` gets
    the segment's sum of delta.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    begin = segment * tiles
    end = tl.minimum(begin + tiles, tl.cdiv(length, BT))
    source, delta = source + sequence * length * channels, delta + sequence * length * channels
    weights += sequence * length * N
    rates = A + (sequence // batch * channels + channel) * N
    at = sequence * segments + segment
    additions += at * N * channels + channel
    whole = tl.zeros([BE], tl.float32)
    for index in range(0, end - begin):
        tile = end - 1 - index if BACKWARD else begin + index
        time = tile * BT + tl.arange(0, BT)
        step = load_tile(delta, time, length, channel, channels)
        values = load_tile(source, time, length, channel, channels)
        if BACKWARD:
            distance = tl.cumsum(step, 0)
        else:
            values *= step
            distance = tl.sum(step, 0)[None, :] - tl.cumsum(step, 0)
        span = tl.sum(step, 0)
        whole += span
        known = live & (index > 0)
        next_rate = load_channels(rates, 0, live)
        next_before = load_channels(additions, 0, known)
        for n in range(N):
            rate, before = next_rate, next_before
            next_rate = load_channels(rates, n + 1, live & (n + 1 < N))
            next_before = load_channels(additions, (n + 1) * channels, known & (n + 1 < N))
            weight = load_column(weights, time, length, n, N)
            total = tl.sum(tl.exp(distance * rate[None, :]) * values * weight, 0)
            total += tl.exp(span * rate) * before
            tl.store(additions + n * channels, total, mask=live)
        tl.debug_barrier()
    if not BACKWARD:
        tl.store(spans + at * channels + channel, whole, mask=live)


@triton.jit(do_not_specialize=["channels", "batch", "segments", "stride", "rows"])
def join_segments(
    additions, spans, A, start, result, channels, batch, segments, stride, rows,
    N: tl.constexpr, SB: tl.constexpr, BE: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """The state that enters each segment, or the gradient of the state that leaves it.

    Segment s of a sequence of `rows` result rows [N, E] writes row s · stride.
    """
    sequence = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1)
    channel = tl.program_id(2) * BE + tl.arange(0, BE)
    live = channel < channels
    rate = tl.load(A + (sequence // batch * channels + channel) * N + n, mask=live, other=0.0)
    rate = rate.to(tl.float32)
    state = tl.zeros([BE], tl.float32)
    if start is not None:
        entry = start + (sequence * channels + channel) * N + n
        state += tl.load(entry, mask=live, other=0.0).to(tl.float32)
    result += (sequence * rows * N + n) * channels + channel
    edge = result
    if BACKWARD:
        edge += tl.cast(segments - 1, tl.int64) * stride * N * channels
    tl.store(edge, state, mask=live)
    for block in range(0, tl.cdiv(segments, SB)):
        index = block * SB + tl.arange(0, SB)
        segment = segments - 1 - index if BACKWARD else index
        inside = (index < segments)[:, None] & live[None, :]
        at = sequence * segments + segment
        span = tl.load(spans + at[:, None] * channels + channel[None, :], mask=inside, other=0.0)
        place = additions + (at[:, None] * N + n) * channels + channel[None, :]
        added = tl.load(place, mask=inside, other=0.0)
        decay, added = tl.associative_scan((tl.exp(span * rate[None, :]), added), 0, compose)
        after = added + decay * state[None, :]
        target = segment - 1 if BACKWARD else segment + 1
        inside = inside & (target >= 0)[:, None] & (target < segments)[:, None]
        row = target.to(tl.int64)[:, None] * stride * N * channels
        tl.store(result[None, :] + row, after, mask=inside)
        state = take_row(after, SB - 1, SB)
