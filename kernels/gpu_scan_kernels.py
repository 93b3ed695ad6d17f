"""Triton kernels of the selective scan: one warp takes a block of channels of one time segment.

Inside a tile of BT tokens the recurrence is an associative scan over time, state by state; the
state goes from tile to tile through memory, where the backward pass finds it again. Segments
start from the states that `lengthwise.kernels.gpu_scan_segments` finds.
Layouts of what is kept: states and their gradients [.., N, E], so that channels are contiguous.
"""

import triton
import triton.language as tl

SIZES = ["length", "channels", "batch", "segments", "tiles"]


@triton.jit
def compose(decay, added, next_decay, next_added):
    return decay * next_decay, next_decay * added + next_added


@triton.jit
def load_tile(base, time, end, channel, channels):
    """[time, channels] of a [T, E] tensor in float32; zeros from `end` on."""
    inside = (time < end)[:, None] & (channel < channels)[None, :]
    return tl.load(base + time[:, None] * channels + channel[None, :], mask=inside, other=0.0).to(
        tl.float32
    )


@triton.jit
def load_column(base, time, end, n, N: tl.constexpr):
    """Column n of a [T, N] tensor as [time, 1]."""
    return tl.load(base + time * N + n, mask=time < end, other=0.0).to(tl.float32)[:, None]


@triton.jit
def load_channels(base, step, live):
    """One number a channel; those of the next state are asked for before they are needed."""
    return tl.load(base + step, mask=live, other=0.0).to(tl.float32)


@triton.jit
def take_row(tile, index, BT: tl.constexpr):
    return tl.sum(tl.where(tl.arange(0, BT)[:, None] == index, tile, 0.0), 0)


@triton.jit(do_not_specialize=SIZES)
def scan_segments(
    x, delta, A, B, C, D, initial, output, final, states,
    length, channels, batch, segments, tiles,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, SKIP: tl.constexpr, START: tl.constexpr,
):  # fmt: skip
    """The output, the state at the start of every tile, and the final state.

    START: the sequence is one segment, which starts from the initial state (None for zeros);
    otherwise the state of each segment's first tile is there already.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    x, delta, output = (
        x + sequence * length * channels,
        delta + sequence * length * channels,
        output + sequence * length * channels,
    )
    B, C = B + sequence * length * N, C + sequence * length * N
    member = sequence // batch
    states += sequence * total * N * channels + channel
    rates = A + (member * channels + channel) * N
    if START:
        for n in range(N):
            state = tl.zeros([BE], tl.float32)
            if initial is not None:
                entry = initial + (sequence * channels + channel) * N + n
                state += tl.load(entry, mask=live, other=0.0).to(tl.float32)
            tl.store(states + n * channels, state, mask=live)
        tl.debug_barrier()
    for tile in range(begin, end):
        time = tile * BT + tl.arange(0, BT)
        x_tile = load_tile(x, time, length, channel, channels)
        step = load_tile(delta, time, length, channel, channels)
        written = step * x_tile
        read = tl.zeros([BT, BE], tl.float32)
        if SKIP:
            skip = tl.load(D + member * channels + channel, mask=live, other=0.0).to(tl.float32)
            read += skip[None, :] * x_tile
        here = states + tl.cast(tile, tl.int64) * N * channels
        next_rate = load_channels(rates, 0, live)
        next_state = load_channels(here, 0, live)
        for n in range(N):
            rate, state = next_rate, next_state
            next_rate = load_channels(rates, n + 1, live & (n + 1 < N))
            next_state = load_channels(here, (n + 1) * channels, live & (n + 1 < N))
            decay = tl.exp(step * rate[None, :])
            added = written * load_column(B, time, length, n, N)
            decay, held = tl.associative_scan((decay, added), 0, compose)
            held += decay * state[None, :]
            read += held * load_column(C, time, length, n, N)
            state = take_row(held, BT - 1, BT)
            if tile + 1 < end:
                tl.store(here + (N + n) * channels, state, mask=live)
            elif tile + 1 == total:
                exit_at = final + (sequence * channels + channel) * N + n
                tl.store(exit_at, state, mask=live)
        inside = (time < length)[:, None] & live[None, :]
        place = output + time[:, None] * channels + channel[None, :]
        tl.store(place, read.to(output.dtype.element_ty), mask=inside)
        tl.debug_barrier()


@triton.jit(do_not_specialize=SIZES)
def scan_segments_back(
    x, delta, A, B, C, D, states, output_gradient, state_gradient, carried,
    dx, ddelta, weight_shares, rate_shares, dinitial,
    length, channels, batch, segments, tiles,
    N: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, SKIP: tl.constexpr, START: tl.constexpr,
):  # fmt: skip
    """All gradients; shares of those that sum over channels, or over time and sequences.

    weight_shares [channel blocks, 2, S, T, N] hold dB and dC, rate_shares [S, segments, N + 1, E]
    dA and, in the last row, dD.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    total = tl.cdiv(length, BT)
    begin = segment * tiles
    end = tl.minimum(begin + tiles, total)
    by_channel = sequence * length * channels
    x, delta, output_gradient = x + by_channel, delta + by_channel, output_gradient + by_channel
    dx, ddelta = dx + by_channel, ddelta + by_channel
    B, C = B + sequence * length * N, C + sequence * length * N
    sequences = tl.num_programs(0) // segments
    dB = weight_shares + (tl.program_id(1) * 2 * sequences + sequence) * length * N
    dC = dB + tl.cast(sequences, tl.int64) * length * N
    member = sequence // batch
    rates = A + (member * channels + channel) * N
    at = sequence * segments + segment
    carried += at * N * channels + channel
    rate_shares += at * (N + 1) * channels + channel
    states += sequence * total * N * channels + channel
    skip = tl.zeros([BE], tl.float32)
    of_skip = tl.zeros([BE], tl.float32)
    if SKIP:
        skip += tl.load(D + member * channels + channel, mask=live, other=0.0).to(tl.float32)
    for n in range(N):
        tl.store(rate_shares + n * channels, of_skip, mask=live)
        if START:
            gradient = tl.zeros([BE], tl.float32)
            if state_gradient is not None:
                entry = state_gradient + (sequence * channels + channel) * N + n
                gradient += tl.load(entry, mask=live, other=0.0).to(tl.float32)
            tl.store(carried + n * channels, gradient, mask=live)
    tl.debug_barrier()
    for index in range(0, end - begin):
        tile = end - 1 - index
        time = tile * BT + tl.arange(0, BT)
        x_tile = load_tile(x, time, length, channel, channels)
        step = load_tile(delta, time, length, channel, channels)
        dy = load_tile(output_gradient, time, length, channel, channels)
        # Backwards in time the tiles are loaded reversed: Triton's own reversed scan shuffles
        # every value across the warp. Behind the tile the gradient has been decayed already.
        back = tile * BT + BT - 1 - tl.arange(0, BT)
        dy_reversed = load_tile(output_gradient, back, length, channel, channels)
        end_of_tile = tl.minimum(length, tile * BT + BT)
        next_step = load_tile(delta, back + 1, end_of_tile, channel, channels)
        written = step * x_tile
        of_written = tl.zeros([BT, BE], tl.float32)
        of_exponent = tl.zeros([BT, BE], tl.float32)
        here = states + tl.cast(tile, tl.int64) * N * channels
        next_rate = load_channels(rates, 0, live)
        next_state = load_channels(here, 0, live)
        next_behind = load_channels(carried, 0, live)
        next_share = load_channels(rate_shares, 0, live)
        for n in range(N):
            rate, state, behind, share = next_rate, next_state, next_behind, next_share
            more = live & (n + 1 < N)
            next_rate = load_channels(rates, n + 1, more)
            next_state = load_channels(here, (n + 1) * channels, more)
            next_behind = load_channels(carried, (n + 1) * channels, more)
            next_share = load_channels(rate_shares, (n + 1) * channels, more)
            write = load_column(B, time, length, n, N)
            read = load_column(C, back, length, n, N)
            decay = tl.exp(step * rate[None, :])
            added = written * write
            reach, held = tl.associative_scan((decay, added), 0, compose)
            held += reach * state[None, :]
            sources = (tl.exp(next_step * rate[None, :]), dy_reversed * read)
            reach, gradient = tl.associative_scan(sources, 0, compose)
            gradient = tl.flip(gradient + reach * behind[None, :], 0)
            place = time * N + n
            tl.store(dB + place, tl.sum(gradient * written, 1), mask=time < length)
            tl.store(dC + place, tl.sum(dy * held, 1), mask=time < length)
            of_written += gradient * write
            remaining = gradient * (held - added)
            of_exponent += remaining * rate[None, :]
            share += tl.sum(remaining * step, 0)
            tl.store(rate_shares + n * channels, share, mask=live)
            tl.store(carried + n * channels, take_row(decay * gradient, 0, BT), mask=live)
        of_skip += tl.sum(dy * x_tile, 0)
        inside = (time < length)[:, None] & live[None, :]
        place = time[:, None] * channels + channel[None, :]
        of_x = of_written * step + skip[None, :] * dy
        tl.store(dx + place, of_x.to(dx.dtype.element_ty), mask=inside)
        of_delta = of_written * x_tile + of_exponent
        tl.store(ddelta + place, of_delta.to(ddelta.dtype.element_ty), mask=inside)
        tl.debug_barrier()
    tl.store(rate_shares + N * channels, of_skip, mask=live)
    if segment == 0:
        for n in range(N):
            gradient = tl.load(carried + n * channels, mask=live, other=0.0)
            tl.store(dinitial + (sequence * channels + channel) * N + n, gradient, mask=live)


@triton.jit(do_not_specialize=["places", "blocks", "rows", "channels", "weight_programs"])
def add_shares(
    weight_shares, rate_shares, dA, dB, dC, dD, places, blocks, rows, channels, weight_programs,
    N: tl.constexpr, SIZE: tl.constexpr, SKIP: tl.constexpr,
):  # fmt: skip
    """dB and dC from their shares of every channel block, dA and dD from those of every segment."""
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
        width = (N + 1) * channels
        total = tl.zeros([32], tl.float32)
        for start in range(0, rows, 32):
            row = start + tl.arange(0, 32)
            in_shares = (row < rows)[:, None] & (index < width)[None, :]
            source = rate_shares + (member * rows + row)[:, None] * width + index[None, :]
            total += tl.sum(tl.load(source, mask=in_shares, other=0.0), 0)
        n, channel = index // channels, index % channels
        of_A = dA + (member * channels + channel) * N + n
        tl.store(of_A, total.to(dA.dtype.element_ty), mask=n < N)
        if SKIP:
            of_D = dD + member * channels + channel
            tl.store(of_D, total.to(dD.dtype.element_ty), mask=n == N)
