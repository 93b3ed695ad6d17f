"""Triton kernels of the selective scan: one warp takes a block of channels of one time segment.

The recurrence walks a tile of BT tokens state by state, with the tile's rows in registers as a
tuple. Forward the states stay in registers too; backward their gradients go through memory, asked
for ahead. Segments start from what `lengthwise.kernels.gpu_scan_segments` finds. States,
their gradients and the rates are [.., N, E], so that channels are contiguous. EVEN: tiles and
blocks of channels are all full, so nothing of them is masked. BN: states a turn of the loop over
them.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_rows import (
    LOG2E,
    ask_for,
    channels_of,
    live_if,
    load_channels,
    load_row,
    load_states,
    load_step,
    load_weights,
    slope,
    slope_of,
    store_row,
    store_states,
)
from lengthwise.kernels.gpu_scan_sums import sums_of

SIZES = ["length", "batch", "segments", "tiles", "given"]  # of which not all are in each kernel


@triton.jit(do_not_specialize=SIZES)
def scan_segments(
    x, delta, rates, weights, D, delta_bias, entry, output, states, final,
    length, batch, segments, tiles, given,
    channels: tl.constexpr, N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr,
    EVEN: tl.constexpr, SKIP: tl.constexpr, SOFT: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """The output, the states before every tile and the one behind the last, `final` [S, N, E].

    `weights` [S, tiles, 2, N, BT] are B and C turned. `entry` [S, segments, N, E] holds the state
    before a segment; it is not looked at unless `given`.
    """
    at = tl.program_id(0).to(tl.int64)
    sequence, segment = at // segments, tl.program_id(0) % segments
    channel = channels_of(tl.program_id(1), BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel = sequence * length * channels
    x, delta, output = x + by_channel, delta + by_channel, output + by_channel
    weights += sequence * total * 2 * N * BT
    member = sequence // batch
    rates += member * N * channels + channel
    states += sequence * total * N * channels + channel
    entry += at * N * channels + channel
    final += sequence * N * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    held = load_states(entry, channels, live_if(given > 0, channel, channels), N)
    offset = tl.program_id(1) * BE
    for tile in range(begin, end):
        follow = tl.cast(tl.minimum(tile + 1, total - 1), tl.int64)
        ask_for(x, follow * BT * channels + offset, channels, BT, BE, EVEN)
        ask_for(delta, follow * BT * channels + offset, channels, BT, BE, EVEN)
        ask_for(weights, follow * 2 * N * BT, 0, 1, 2 * N * BT, EVEN)
        place = tl.cast(tile, tl.int64)
        left = length - tile * BT
        rows, writes = place * BT * channels, weights + place * 2 * N * BT
        store_states(states + place * N * channels, channels, live, held, N)
        steps, written, read = (), (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            steps = steps + (step,)
            written = written + (step * value,)
            read = read + (skip * value,)
        next_rate = tl.load(rates, mask=live, other=0.0)
        next_write = load_weights(writes, BT)
        next_weight = load_weights(writes + N * BT, BT)
        for group in range(0, N, BN):
            after = ()
            for j in tl.static_range(BN):
                rate, write, weight = next_rate * LOG2E, next_write, next_weight
                n = tl.minimum(group + j + 1, N - 1)
                next_rate = tl.load(rates + n * channels, mask=live, other=0.0)
                next_write = load_weights(writes + n * BT, BT)
                next_weight = load_weights(writes + (N + n) * BT, BT)
                tl.debug_barrier()
                state, sums = held[j], ()
                for i in tl.static_range(BT):
                    state = tl.exp2(steps[i] * rate) * state + written[i] * write[i]
                    sums = sums + (read[i] + state * weight[i],)
                read = sums
                after = after + (state,)
            held = held[BN:] + after  # the states turn: a loop finds its own in front
        for i in tl.static_range(BT):
            store_row(output + rows, i, left, channel, channels, read[i])
    store_states(final, channels, live_if(segment == segments - 1, channel, channels), held, N)


@triton.jit(do_not_specialize=SIZES)
def scan_segments_back(
    x, delta, rates, weights, D, delta_bias, states, output_gradient, carried,
    dx, ddelta, weight_shares, rate_shares,
    length, batch, segments, tiles, given,
    channels: tl.constexpr, N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr,
    EVEN: tl.constexpr, SKIP: tl.constexpr, SOFT: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """All gradients; shares of those that sum over channels, or over time and sequences.

    `carried` [S, segments, N, E] holds the gradient of the state behind a segment, or nothing yet
    unless `given`, and is left with that of the state before it. weight_shares
    [channel blocks, 2, S, T, N] get dB and dC, rate_shares [S, segments, N + 2, E] get dA and, in
    the last rows, those of D and delta_bias. A turn sums 2·BN·BT rows, which are 8, 16 or 32.
    """
    at = tl.program_id(0).to(tl.int64)
    sequence, segment = at // segments, tl.program_id(0) % segments
    channel = channels_of(tl.program_id(1), BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel = sequence * length * channels
    x, delta, output_gradient = x + by_channel, delta + by_channel, output_gradient + by_channel
    dx, ddelta = dx + by_channel, ddelta + by_channel
    weights += sequence * total * 2 * N * BT
    everything = tl.cast(tl.num_programs(0) // segments, tl.int64) * length * N
    weight_shares += 2 * tl.program_id(1) * everything + sequence * length * N
    member = sequence // batch
    rates += member * N * channels + channel
    block_states = states + sequence * total * N * channels + tl.program_id(1) * BE
    states += sequence * total * N * channels + channel
    ASK: tl.constexpr = EVEN and x.dtype.element_ty != tl.float32  # of float32 it costs more
    carried += at * N * channels + channel
    rate_shares += at * (N + 2) * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    of_skip = tl.zeros(channel.shape, tl.float32)
    of_bias = tl.zeros(channel.shape, tl.float32)
    for index in range(0, end - begin):
        tile = tl.cast(end - 1 - index, tl.int64)
        left = length - (end - 1 - index) * BT
        rows = tile * BT * channels
        here = states + tile * N * channels
        writes = weights + tile * 2 * N * BT
        shares = weight_shares + tile * BT * N
        follow = tl.cast(tl.maximum(end - 2 - index, begin), tl.int64)
        asked = follow * BT * channels + tl.program_id(1) * BE
        ask_for(x, asked, channels, BT, BE, ASK)
        ask_for(delta, asked, channels, BT, BE, ASK)
        ask_for(output_gradient, asked, channels, BT, BE, ASK)
        ask_for(weights, follow * 2 * N * BT, 0, 1, 2 * N * BT, ASK)
        ask_for(block_states, tile * N * channels, channels, N, BE, EVEN)
        steps, written, dys, of_written, of_exponent = (), (), (), (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            dy = load_row(output_gradient + rows, i, left, channel, channels, EVEN)
            steps = steps + (step,)
            written = written + (step * value,)
            dys = dys + (dy,)
            of_skip += dy * value
            of_written = of_written + (tl.zeros(channel.shape, tl.float32),)
            of_exponent = of_exponent + (tl.zeros(channel.shape, tl.float32),)
        has_share = live_if(index > 0, channel, channels)
        has_carried = live_if((index > 0) | (given > 0), channel, channels)
        ahead_rates = load_states(rates, channels, live, BN)
        ahead_states = load_states(here, channels, live, BN)
        ahead_behinds = load_states(carried, channels, has_carried, BN)
        ahead_shares = load_states(rate_shares, channels, has_share, BN)
        next_write = load_weights(writes, BT)
        next_read = load_weights(writes + N * BT, BT)
        for group in range(0, N, BN):
            of_Bs, of_Cs = (), ()
            for j in tl.static_range(BN):
                n = group + j
                rate, behind, share = ahead_rates[0], ahead_behinds[0], ahead_shares[0]
                state, write, read = ahead_states[0].to(tl.float32), next_write, next_read
                after = tl.minimum(n + 1, N - 1)
                next_write = load_weights(writes + after * BT, BT)
                next_read = load_weights(writes + (N + after) * BT, BT)
                tl.debug_barrier()  # what is asked for above is asked for before this walk
                decays, remains = (), ()
                for i in tl.static_range(BT):
                    decay = tl.exp2(steps[i] * (rate * LOG2E))
                    remaining = decay * state
                    state = remaining + written[i] * write[i]
                    decays = decays + (decay,)
                    remains = remains + (remaining,)
                    of_Cs = of_Cs + (tl.sum(dys[i] * state, 1),)
                sums, exponent_sums, of_B = (), (), ()
                for i in tl.static_range(BT - 1, -1, -1):
                    gradient = behind + dys[i] * read[i]
                    of_B = (tl.sum(gradient * written[i], 1),) + of_B
                    of_remaining = gradient * remains[i]
                    sums = (of_written[i] + gradient * write[i],) + sums
                    exponent_sums = (of_exponent[i] + of_remaining * rate,) + exponent_sums
                    share += of_remaining * steps[i]
                    behind = gradient * decays[i]
                of_written, of_exponent = sums, exponent_sums
                of_Bs = of_Bs + of_B
                tl.store(rate_shares + n * channels, share, mask=live)
                tl.store(carried + n * channels, behind, mask=live)
                # In the registers of this state: a move at the loop's end would wait for them.
                ahead = tl.minimum(n + BN, N - 1) * channels
                ahead_rates = ahead_rates[1:] + load_states(rates + ahead, channels, live, 1)
                ahead_states = ahead_states[1:] + load_states(here + ahead, channels, live, 1)
                ahead_behinds = ahead_behinds[1:] + load_states(
                    carried + ahead, channels, has_carried, 1
                )
                ahead_shares = ahead_shares[1:] + load_states(
                    rate_shares + ahead, channels, has_share, 1
                )
            totals = sums_of(of_Bs + of_Cs, 2 * BN * BT)
            which = tl.arange(0, 32) % (2 * BN * BT)  # lanes of one sum store the same
            place = which // (BN * BT) * everything + which % BT * N + group + which // BT % BN
            if EVEN:
                tl.store(shares + place, totals)
            else:
                tl.store(shares + place, totals, mask=which % BT < left)
        values = ()
        for i in tl.static_range(BT):
            values = values + (load_row(x + rows, i, left, channel, channels, EVEN),)
        for i in tl.static_range(BT):
            of_x = of_written[i] * steps[i] + skip * dys[i]
            of_delta = of_written[i] * values[i] + of_exponent[i]
            if SOFT:
                if delta.dtype.element_ty == tl.float32:
                    z = load_row(delta + rows, i, left, channel, channels, EVEN) + bias
                    of_delta *= slope(z)
                else:
                    of_delta *= slope_of(steps[i])
                of_bias += of_delta if EVEN else tl.where(i < left, of_delta, 0.0)
            store_row(dx + rows, i, left, channel, channels, of_x)
            store_row(ddelta + rows, i, left, channel, channels, of_delta)
    tl.store(rate_shares + N * channels, of_skip, mask=live)
    tl.store(rate_shares + (N + 1) * channels, of_bias, mask=live)
