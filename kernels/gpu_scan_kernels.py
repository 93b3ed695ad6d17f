"""Triton kernels of the selective scan: one warp takes a block of channels of one time segment.

A tile of BT tokens is a tuple of rows in registers, [BE] channels each, which the recurrence walks
state by state; what goes from tile to tile, the states or their gradients, stays in registers too.
Backward, what a state needs is asked for one or two states ahead. Segments start from what
`lengthwise.kernels.gpu_scan_segments` finds. States, their gradients and the rates are [.., N, E],
so that channels are contiguous. EVEN: tiles and blocks of channels are all full, so nothing of
them is masked. BN: states a turn of the loop over them.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_rows import (
    LOG2E,
    ask_for,
    live_if,
    load_channels,
    load_row,
    load_states,
    load_step,
    load_weights,
    store_row,
    store_states,
)
from lengthwise.kernels.gpu_scan_sums import lane_sums, sums_of

SIZES = ["length", "batch", "segments", "tiles", "given"]


@triton.jit(do_not_specialize=SIZES)
def scan_segments(
    x, delta, rates, B, C, D, delta_bias, output, states, carried,
    channels, length, batch, segments, tiles, given,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, EVEN: tl.constexpr, SKIP: tl.constexpr,
    SOFT: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """The output and the states before every tile.

    `carried` [S, segments, N, E] holds the state before a segment, or nothing yet unless `given`,
    and is left with the state behind it.
    """
    at = tl.program_id(0).to(tl.int64)
    sequence, segment = at // segments, tl.program_id(0) % segments
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel, by_state = sequence * length * channels, sequence * length * N
    x, delta, output = x + by_channel, delta + by_channel, output + by_channel
    B, C = B + by_state, C + by_state
    member = sequence // batch
    rates += member * N * channels + channel
    states += sequence * total * N * channels + channel
    carried += at * N * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    held = load_states(carried, channels, live_if(given > 0, channel, channels), N)
    offset = tl.program_id(1) * BE
    for tile in range(begin, end):
        follow = tl.cast(tl.minimum(tile + 1, total - 1), tl.int64) * BT
        ask_for(x, follow * channels + offset, channels, BT, BE, EVEN)
        ask_for(delta, follow * channels + offset, channels, BT, BE, EVEN)
        ask_for(B, follow * N, 0, 1, BT * N, EVEN)
        ask_for(C, follow * N, 0, 1, BT * N, EVEN)
        first = tl.cast(tile, tl.int64) * BT
        left = length - tile * BT
        rows, writes, reads = first * channels, B + first * N, C + first * N
        here = states + tl.cast(tile, tl.int64) * N * channels
        store_states(here, channels, live, held, N)
        steps, written, read = (), (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            steps = steps + (step,)
            written = written + (step * value,)
            read = read + (skip * value,)
        for group in range(0, N, BN):
            after = ()
            for j in tl.static_range(BN):
                n = group + j
                rate = tl.load(rates + n * channels, mask=live, other=0.0) * LOG2E
                write = load_weights(writes, left, n, N, BT, EVEN)
                weight = load_weights(reads, left, n, N, BT, EVEN)
                state, sums = held[j], ()
                for i in tl.static_range(BT):
                    state = tl.exp2(steps[i] * rate) * state + written[i] * write[i]
                    sums = sums + (read[i] + state * weight[i],)
                read = sums
                after = after + (state,)
            held = held[BN:] + after  # the states turn: a loop finds its own in front
        for i in tl.static_range(BT):
            store_row(output + rows, i, left, channel, channels, read[i])
    store_states(carried, channels, live, held, N)


@triton.jit(do_not_specialize=SIZES)
def scan_segments_back(
    x, delta, rates, B, C, D, delta_bias, states, output_gradient, carried,
    dx, ddelta, weight_shares, rate_shares,
    channels, length, batch, segments, tiles, given,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, EVEN: tl.constexpr, SKIP: tl.constexpr,
    SOFT: tl.constexpr, BN: tl.constexpr, LEVELS: tl.constexpr,
):  # fmt: skip
    """All gradients; shares of those that sum over channels, or over time and sequences.

    `carried` [S, segments, N, E] holds the gradient of the state behind a segment, or nothing yet
    unless `given`, and is left with that of the state before it. weight_shares
    [channel blocks, 2, S, T, N] get dB and dC, rate_shares [S, segments, N + 2, E] get dA and, in
    the last rows, those of D and delta_bias. LEVELS: a turn sums 2^LEVELS = 2·BN·BT rows.
    """
    at = tl.program_id(0).to(tl.int64)
    sequence, segment = at // segments, tl.program_id(0) % segments
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel, by_state = sequence * length * channels, sequence * length * N
    x, delta, output_gradient = x + by_channel, delta + by_channel, output_gradient + by_channel
    dx, ddelta = dx + by_channel, ddelta + by_channel
    B, C = B + by_state, C + by_state
    everything = tl.cast(tl.num_programs(0) // segments, tl.int64) * length * N
    weight_shares += 2 * tl.program_id(1) * everything + by_state
    member = sequence // batch
    rates += member * N * channels + channel
    states += sequence * total * N * channels + channel
    carried += at * N * channels + channel
    rate_shares += at * (N + 2) * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    of_skip = tl.zeros([BE], tl.float32)
    of_bias = tl.zeros([BE], tl.float32)
    held = load_states(carried, channels, live_if(given > 0, channel, channels), N)
    for index in range(0, end - begin):
        tile = end - 1 - index
        first = tl.cast(tile, tl.int64) * BT
        left = length - tile * BT
        rows, weights = first * channels, first * N
        here = states + tl.cast(tile, tl.int64) * N * channels
        steps, written, dys, of_written, of_exponent = (), (), (), (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            dy = load_row(output_gradient + rows, i, left, channel, channels, EVEN)
            steps = steps + (step,)
            written = written + (step * value,)
            dys = dys + (dy,)
            of_skip += dy * value
            of_written = of_written + (tl.zeros([BE], tl.float32),)
            of_exponent = of_exponent + (tl.zeros([BE], tl.float32),)
        has_share = live_if(index > 0, channel, channels)
        next_rate = tl.load(rates, mask=live, other=0.0)
        next_state = tl.load(here, mask=live, other=0.0)
        far_state = tl.load(here + tl.minimum(1, N - 1) * channels, mask=live, other=0.0)
        next_share = tl.load(rate_shares, mask=has_share, other=0.0)
        next_write = load_weights(B + weights, left, 0, N, BT, EVEN)
        next_read = load_weights(C + weights, left, 0, N, BT, EVEN)
        for group in range(0, N, BN):
            after_group, of_Bs, of_Cs = (), (), ()
            for j in tl.static_range(BN):
                n = group + j
                rate, behind, share = next_rate, held[j], next_share
                state, next_state = next_state.to(tl.float32), far_state
                write, read = next_write, next_read
                after = tl.minimum(n + 1, N - 1)
                next_rate = tl.load(rates + after * channels, mask=live, other=0.0)
                farther = here + tl.minimum(n + 2, N - 1) * channels
                far_state = tl.load(farther, mask=live, other=0.0)
                next_share = tl.load(rate_shares + after * channels, mask=has_share, other=0.0)
                next_write = load_weights(B + weights, left, after, N, BT, EVEN)
                next_read = load_weights(C + weights, left, after, N, BT, EVEN)
                tl.debug_barrier()
                decays, remains = (), ()
                for i in tl.static_range(BT):
                    decay = tl.exp2(steps[i] * (rate * LOG2E))
                    remaining = decay * state
                    state = remaining + written[i] * write[i]
                    decays = decays + (decay,)
                    remains = remains + (remaining,)
                    of_Cs = of_Cs + (lane_sums(dys[i] * state, BE),)
                sums, exponent_sums, of_B = (), (), ()
                for i in tl.static_range(BT - 1, -1, -1):
                    gradient = behind + dys[i] * read[i]
                    of_B = (lane_sums(gradient * written[i], BE),) + of_B
                    of_remaining = gradient * remains[i]
                    sums = (of_written[i] + gradient * write[i],) + sums
                    exponent_sums = (of_exponent[i] + of_remaining * rate,) + exponent_sums
                    share += of_remaining * steps[i]
                    behind = gradient * decays[i]
                of_written, of_exponent = sums, exponent_sums
                of_Bs = of_Bs + of_B
                tl.store(rate_shares + n * channels, share, mask=live)
                after_group = after_group + (behind,)
            held = held[BN:] + after_group
            totals = sums_of(of_Bs + of_Cs, LEVELS)
            which = tl.arange(0, 2 * BN * BT)
            place = which // (BN * BT) * everything + which % BT * N + group + which // BT % BN
            if EVEN:
                tl.store(weight_shares + weights + place, totals)
            else:
                tl.store(weight_shares + weights + place, totals, mask=which % BT < left)
        for i in tl.static_range(BT):
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            of_x = of_written[i] * steps[i] + skip * dys[i]
            of_delta = of_written[i] * value + of_exponent[i]
            if SOFT:
                z = load_row(delta + rows, i, left, channel, channels, EVEN) + bias
                small = tl.exp2(-tl.abs(z) * LOG2E)
                root = tl.rsqrt(1.0 + small)
                of_delta *= tl.where(z < 0.0, small, 1.0) * root * root
                of_bias += of_delta if EVEN else tl.where(i < left, of_delta, 0.0)
            store_row(dx + rows, i, left, channel, channels, of_x)
            store_row(ddelta + rows, i, left, channel, channels, of_delta)
    store_states(carried, channels, live, held, N)
    tl.store(rate_shares + N * channels, of_skip, mask=live)
    tl.store(rate_shares + (N + 1) * channels, of_bias, mask=live)
