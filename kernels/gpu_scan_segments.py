"""Triton kernels around the walks of a selective scan's segments.

First, B and C are turned, so that a walk finds a state's weights of a tile side by side. All
segments find side by side what they add to a state, and a scan over the segments joins that. After
the backward walk, shares of gradients are added up.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_kernels import SIZES
from lengthwise.kernels.gpu_scan_rows import (
    LOG2E,
    ask_for,
    channels_of,
    live_if,
    load_channels,
    load_row,
    load_step,
    load_weights,
)


@triton.jit(do_not_specialize=["length", "batch", "tiles"])
def turn_weights(
    B, C, weights, length, batch, tiles, B_member, B_row, C_member, C_row,
    N: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """B and C, [P, B, T, N] each, as [P · B, tiles, 2, N, BT] in float32, zeros behind the end.

    `tiles`: of all sequences. Members and rows of B and C may lie apart.
    """
    tile = tl.program_id(0).to(tl.int64) * TILES + tl.arange(0, TILES)[:, None, None]
    n = tl.arange(0, BN)[None, None, :]
    each = tl.cdiv(length, BT)
    sequence = tile // each
    token = tile % each * BT + tl.arange(0, BT)[None, :, None]
    inside = (tile < tiles) & (token < length) & (n < N)
    member, row = sequence // batch, sequence % batch * length + token
    known = ((tile < tiles) & (n < N)).broadcast_to([TILES, BT, BN])
    target = (2 * tile * N + n) * BT + tl.arange(0, BT)[None, :, None]
    target, known = tl.permute(target, (0, 2, 1)), tl.permute(known, (0, 2, 1))
    for which in tl.static_range(2):
        if which == 0:
            weight = tl.load(B + member * B_member + row * B_row + n, mask=inside, other=0.0)
        else:
            weight = tl.load(C + member * C_member + row * C_row + n, mask=inside, other=0.0)
        weight = weight.to(tl.float32)
        tl.store(weights + which * N * BT + target, tl.permute(weight, (0, 2, 1)), mask=known)


@triton.jit(do_not_specialize=SIZES)
def summarise_segments(
    source, delta, delta_bias, rates, weights, additions, spans,
    length, batch, segments, tiles,
    channels: tl.constexpr, N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr,
    EVEN: tl.constexpr, BN: tl.constexpr, SOFT: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """What a segment adds to the state behind it, or to the gradient of the state before it.

    Forward, source is x and its weights are B's; backward, source is dy and its weights are C's.
    `spans` gets the segment's sum of step sizes. The segment that is walked last is left out. A
    program takes BN states.
    """
    groups = tl.cdiv(N, BN)  # side by side: they read the same rows
    program = tl.program_id(0) // groups
    first_state = tl.program_id(0) % groups * BN
    sequence = (program // (segments - 1)).to(tl.int64)
    segment = program % (segments - 1) + (1 if BACKWARD else 0)
    at = sequence * segments + segment
    channel = channels_of(tl.program_id(1), BE)
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel = sequence * length * channels
    source, delta = source + by_channel, delta + by_channel
    weights += (sequence * total * 2 + (1 if BACKWARD else 0)) * N * BT
    member = sequence // batch
    rates += member * N * channels + channel
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    additions += at * N * channels + channel
    span = tl.zeros(channel.shape, tl.float32)
    decay_rates, states = (), ()
    for j in tl.static_range(BN):
        n = first_state + j
        known = live_if(n < N, channel, channels)
        rate = tl.load(rates + n * channels, mask=known, other=0.0)
        decay_rates = decay_rates + (rate * LOG2E,)
        states = states + (tl.zeros(channel.shape, tl.float32),)
    for index in range(0, end - begin):
        tile = end - 1 - index if BACKWARD else begin + index
        follow = tl.maximum(tile - 1, 0) if BACKWARD else tl.minimum(tile + 1, end - 1)
        ahead = tl.cast(follow, tl.int64)
        if first_state == 0:
            asked = ahead * BT * channels + tl.program_id(1) * BE
            ask_for(source, asked, channels, BT, BE, EVEN)
            ask_for(delta, asked, channels, BT, BE, EVEN)
            ask_for(weights, ahead * 2 * N * BT, 0, 1, BT * N, EVEN)
        place = tl.cast(tile, tl.int64)
        left = length - tile * BT
        rows = place * BT * channels
        steps, values = (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(source + rows, i, left, channel, channels, EVEN)
            span += step
            steps = steps + (step,)
            values = values + (value if BACKWARD else step * value,)
        after = ()
        for j in tl.static_range(BN):
            n = tl.minimum(first_state + j, N - 1)
            weight = load_weights(weights + (place * 2 * N + n) * BT, BT)
            state = states[j]
            for i in tl.static_range(
                BT - 1 if BACKWARD else 0, -1 if BACKWARD else BT, -1 if BACKWARD else 1
            ):
                decay = tl.exp2(steps[i] * decay_rates[j])
                if BACKWARD:
                    state = decay * (state + values[i] * weight[i])
                else:
                    state = decay * state + values[i] * weight[i]
            after = after + (state,)
        states = after
    for j in tl.static_range(BN):
        n = first_state + j
        tl.store(additions + n * channels, states[j], mask=live_if(n < N, channel, channels))
    if first_state == 0:
        tl.store(spans + at * channels + channel, span, mask=channel < channels)


@triton.jit
def _compose(decay, added, next_decay, next_added):
    return decay * next_decay, next_decay * added + next_added


@triton.jit(do_not_specialize=["batch", "segments"])
def join_segments(
    additions, spans, rates, start, result, channels, batch, segments,
    N: tl.constexpr, SB: tl.constexpr, EACH: tl.constexpr, BE: tl.constexpr,
    BACKWARD: tl.constexpr,
):  # fmt: skip
    """The state that enters each segment, or the gradient of the state that leaves it.

    SB runs of EACH segments are joined side by side, then these runs, then each run is walked.
    """
    sequence, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.program_id(2) * BE + tl.arange(0, BE)
    live = channel < channels
    rate = tl.load(rates + (sequence // batch * N + n) * channels + channel, mask=live, other=0.0)
    state = tl.zeros([BE], tl.float32)
    if start is not None:
        entry = start + (sequence * N + n) * channels + channel
        state += tl.load(entry, mask=live, other=0.0).to(tl.float32)
    begin = tl.arange(0, SB) * EACH
    decay, added = tl.full([SB, BE], 1.0, tl.float32), tl.zeros([SB, BE], tl.float32)
    decays, addends = (), ()
    for step in tl.static_range(EACH):
        at, inside = _rows_of(begin + step, sequence, segments, live, BACKWARD)
        known = inside & (begin + step < segments - 1)[:, None]
        span = tl.load(spans + at * channels + channel[None, :], mask=known, other=0.0)
        offset = (at * N + n) * channels + channel[None, :]
        decays = decays + (tl.exp(span * rate[None, :]),)
        addends = addends + (tl.load(additions + offset, mask=known, other=0.0),)
    for step in tl.static_range(EACH):
        decay, added = _compose(decay, added, decays[step], addends[step])
    decay, added = tl.associative_scan((decay, added), 0, _compose)
    at, inside = _rows_of(begin + EACH, sequence, segments, live, BACKWARD)
    place = result + (at * N + n) * channels + channel[None, :]
    tl.store(place, added + decay * state[None, :], mask=inside)
    first = segments - 1 if BACKWARD else 0
    edge = result + ((sequence * segments + first) * N + n) * channels + channel
    tl.store(edge, state, mask=live)
    if EACH > 1:
        tl.debug_barrier()
        at, inside = _rows_of(begin, sequence, segments, live, BACKWARD)
        place = result + (at * N + n) * channels + channel[None, :]
        states = tl.load(place, mask=inside, other=0.0)
        for step in tl.static_range(1, EACH):
            states = decays[step - 1] * states + addends[step - 1]
            at, inside = _rows_of(begin + step, sequence, segments, live, BACKWARD)
            place = result + (at * N + n) * channels + channel[None, :]
            tl.store(place, states, mask=inside)


@triton.jit
def _rows_of(index, sequence, segments, live, BACKWARD: tl.constexpr):
    """Where segments lie among all, given by their order of walking, and which there are."""
    segment = segments - 1 - index if BACKWARD else index
    return (sequence * segments + segment)[:, None], (index < segments)[:, None] & live[None, :]


@triton.jit(do_not_specialize=["places", "blocks", "rows", "channels", "weight_programs"])
def add_shares(
    weight_shares, rate_shares, dA, dB, dC, dD, of_bias,
    places, blocks, rows, channels, weight_programs,
    N: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr, SKIP: tl.constexpr,
    SOFT: tl.constexpr,
):  # fmt: skip
    """dB and dC from their shares of every channel block, the rest from those of every segment."""
    member = tl.program_id(1).to(tl.int64)
    if tl.program_id(0) < weight_programs:
        place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
        inside = place < places
        members = tl.num_programs(1)
        of_B = tl.zeros([SIZE], tl.float32)
        of_C = tl.zeros([SIZE], tl.float32)
        for block in range(0, blocks):
            share = weight_shares + (2 * block * members + member) * places + place
            of_B += tl.load(share, mask=inside, other=0.0)
            of_C += tl.load(share + members * places, mask=inside, other=0.0)
        tl.store(dB + member * places + place, of_B.to(dB.dtype.element_ty), mask=inside)
        tl.store(dC + member * places + place, of_C.to(dC.dtype.element_ty), mask=inside)
    else:
        index = (tl.program_id(0) - weight_programs) * 32 + tl.arange(0, 32)
        width = (N + 2) * channels
        total = tl.zeros([32], tl.float32)
        for start in range(0, rows, ROWS):
            row = start + tl.arange(0, ROWS)
            in_shares = (row < rows)[:, None] & (index < width)[None, :]
            source = rate_shares + (member * rows + row)[:, None] * width + index[None, :]
            total += tl.sum(tl.load(source, mask=in_shares, other=0.0), 0)
        behind = index - N * channels
        total_A = total.to(dA.dtype.element_ty)
        tl.store(dA + member * N * channels + index, total_A, mask=behind < 0)
        if SKIP:
            of_D = (behind >= 0) & (behind < channels)
            total_D = total.to(dD.dtype.element_ty)
            tl.store(dD + member * channels + behind, total_D, mask=of_D)
        if SOFT:
            of_steps = behind >= channels
            total_bias = total.to(of_bias.dtype.element_ty)
            tl.store(
                of_bias + (member - 1) * channels + behind,
                total_bias,
                mask=of_steps & (index < width),
            )
