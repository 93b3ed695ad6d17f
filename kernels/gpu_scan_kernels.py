"""Triton kernels of the selective scan: one warp takes a block of channels of one time segment.

A tile of BT tokens is a tuple of rows in registers, [BE] channels each, which the recurrence walks
state by state; the state goes from tile to tile through memory, where the backward pass finds it
again. Segments start from the states that `lengthwise.kernels.gpu_scan_segments` finds.
States, their gradients and the rates are kept as [.., N, E], so that channels are contiguous. EVEN:
tiles and blocks of channels are all full, so nothing is masked.
"""

import triton
import triton.language as tl

SIZES = ["length", "batch", "segments", "tiles", "known", "known_behind"]
LOG2E = tl.constexpr(1.4426950408889634)


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
    small = tl.exp(-tl.abs(z))
    t = small / (2.0 + small)
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
def load_weight(rows, index, left, n, N: tl.constexpr, EVEN: tl.constexpr):
    """Column n of row `index` of [T, N] in float32; zero from row `left` on."""
    place = rows + index * N + n
    weight = tl.load(place) if EVEN else tl.load(place, mask=index < left, other=0.0)
    return weight.to(tl.float32)


@triton.jit
def store_row(rows, index, left, channel, channels, row, EVEN: tl.constexpr):
    place = rows + index * channels + channel
    row = row.to(rows.dtype.element_ty)
    if EVEN:
        tl.store(place, row)
    else:
        tl.store(place, row, mask=live_if(index < left, channel, channels))


@triton.jit(do_not_specialize=SIZES)
def scan_segments(
    x, delta, rates, B, C, D, delta_bias, output, final, states,
    channels, length, batch, segments, tiles, known,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, EVEN: tl.constexpr, SKIP: tl.constexpr,
    SOFT: tl.constexpr,
):  # fmt: skip
    """The output, the state at the start of every tile, and the final state.

    The state of a segment's first tile is there already, or zero where tile < known.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
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
    final += sequence * N * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    for tile in range(begin, end):
        first = tl.cast(tile, tl.int64) * BT
        left = length - tile * BT
        rows, weights = first * channels, first * N
        here = states + tl.cast(tile, tl.int64) * N * channels
        steps, written, read = (), (), ()
        for i in tl.static_range(BT):
            step = load_step(delta + rows, i, left, channel, channels, bias, SOFT, EVEN)
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            steps = steps + (step,)
            written = written + (step * value,)
            read = read + (skip * value,)
        has_state = live_if(tile >= known, channel, channels)
        for n in range(N):
            rate = tl.load(rates + n * channels, mask=live, other=0.0) * LOG2E
            state = tl.load(here + n * channels, mask=has_state, other=0.0)
            sums = ()
            for i in tl.static_range(BT):
                added = written[i] * load_weight(B + weights, i, left, n, N, EVEN)
                state = tl.exp2(steps[i] * rate) * state + added
                sums = sums + (read[i] + state * load_weight(C + weights, i, left, n, N, EVEN),)
            read = sums
            if tile + 1 < end:
                tl.store(here + (N + n) * channels, state, mask=live)
            elif tile + 1 == total:
                tl.store(final + n * channels, state, mask=live)
        for i in tl.static_range(BT):
            store_row(output + rows, i, left, channel, channels, read[i], EVEN)


@triton.jit(do_not_specialize=SIZES)
def scan_segments_back(
    x, delta, rates, B, C, D, delta_bias, states, output_gradient, carried,
    dx, ddelta, weight_shares, rate_shares,
    channels, length, batch, segments, tiles, known, known_behind,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, EVEN: tl.constexpr, SKIP: tl.constexpr,
    SOFT: tl.constexpr,
):  # fmt: skip
    """All gradients; shares of those that sum over channels, or over time and sequences.

    `carried` [S, segments, N, E] holds the gradient of the state behind a segment, or nothing yet
    where known_behind is 1, and is left with that of the state before it. weight_shares
    [channel blocks, 2, S, T, N] get dB and dC, rate_shares [S, segments, N + 2, E] get dA and, in
    the last rows, those of D and delta_bias.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
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
    dB = weight_shares + 2 * tl.program_id(1) * everything + by_state
    dC = dB + everything
    member = sequence // batch
    rates += member * N * channels + channel
    states += sequence * total * N * channels + channel
    at = sequence * segments + segment
    carried += at * N * channels + channel
    rate_shares += at * (N + 2) * channels + channel
    skip = load_channels(D, member, channel, channels, SKIP)
    bias = load_channels(delta_bias, member, channel, channels, SOFT)
    of_skip = tl.zeros([BE], tl.float32)
    of_bias = tl.zeros([BE], tl.float32)
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
        has_state = tile >= known
        next_state = tl.load(here, mask=live_if(has_state, channel, channels), other=0.0)
        has_gradient = live_if(index >= known_behind, channel, channels)
        has_share = live_if(index > 0, channel, channels)
        for n in range(N):
            rate = tl.load(rates + n * channels, mask=live, other=0.0)
            behind = tl.load(carried + n * channels, mask=has_gradient, other=0.0)
            share = tl.load(rate_shares + n * channels, mask=has_share, other=0.0)
            state = next_state
            has_next = live_if(has_state & (n + 1 < N), channel, channels)
            next_state = tl.load(here + (n + 1) * channels, mask=has_next, other=0.0)
            decays, remains = (), ()
            for i in tl.static_range(BT):
                decay = tl.exp2(steps[i] * (rate * LOG2E))
                remaining = decay * state
                added = written[i] * load_weight(B + weights, i, left, n, N, EVEN)
                state = remaining + added
                decays = decays + (decay,)
                remains = remains + (remaining,)
                of_C = tl.sum(dys[i] * state, 0)
                tl.store(dC + weights + i * N + n, of_C, mask=i < left)
            sums, exponent_sums = (), ()
            for i in tl.static_range(BT - 1, -1, -1):
                write = load_weight(B + weights, i, left, n, N, EVEN)
                gradient = behind + dys[i] * load_weight(C + weights, i, left, n, N, EVEN)
                of_B = tl.sum(gradient * written[i], 0)
                tl.store(dB + weights + i * N + n, of_B, mask=i < left)
                of_remaining = gradient * remains[i]
                sums = (of_written[i] + gradient * write,) + sums
                exponent_sums = (of_exponent[i] + of_remaining * rate,) + exponent_sums
                share += of_remaining * steps[i]
                behind = gradient * decays[i]
            of_written, of_exponent = sums, exponent_sums
            tl.store(rate_shares + n * channels, share, mask=live)
            tl.store(carried + n * channels, behind, mask=live)
        for i in tl.static_range(BT):
            value = load_row(x + rows, i, left, channel, channels, EVEN)
            of_x = of_written[i] * steps[i] + skip * dys[i]
            of_delta = of_written[i] * value + of_exponent[i]
            if SOFT:
                z = load_row(delta + rows, i, left, channel, channels, EVEN) + bias
                small = tl.exp(-tl.abs(z))
                of_delta *= tl.where(z < 0.0, small, 1.0) / (1.0 + small)
                of_bias += of_delta if EVEN else tl.where(i < left, of_delta, 0.0)
            store_row(dx + rows, i, left, channel, channels, of_x, EVEN)
            store_row(ddelta + rows, i, left, channel, channels, of_delta, EVEN)
    tl.store(rate_shares + N * channels, of_skip, mask=live)
    tl.store(rate_shares + (N + 1) * channels, of_bias, mask=live)
