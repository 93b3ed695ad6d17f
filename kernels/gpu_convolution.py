"""Triton kernels of the causal convolution: a program walks some tokens of a block of channels.

With the initial state put before x, z_t = bias + Σ_w weight_w · padded_{t + w}, the output is z or
silu(z), and the final state is the last W − 1 rows of `padded`. What a program needs of the rows
before stays in registers, so that every row is read from memory once; rows are loaded `ROWS` at a
time for their latencies to overlap.
"""

import triton
import triton.language as tl

SIZES = ["length", "batch"]


@triton.jit
def _row(base, stride, row, rows, channel, channels):
    """One row [BE] of rows `stride` apart in float32, zeros outside."""
    inside = channel < _width(row, rows, channels)
    return tl.load(base + row * stride + channel, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _width(row, rows, channels):
    """How many numbers there are of a row: none of those outside."""
    return tl.where((row >= 0) & (row < rows), channels, 0)


@triton.jit
def _padded(
    x, stride, initial, place, length, channel, channels, W: tl.constexpr, INITIAL: tl.constexpr
):  # fmt: skip
    """One row [BE] of the initial state followed by x."""
    row = _row(x, stride, place - (W - 1), length, channel, channels)
    if INITIAL:
        inside = channel < _width(place, W - 1, channels)
        row += tl.load(initial + channel * (W - 1) + place, mask=inside, other=0.0).to(tl.float32)
    return row


@triton.jit
def _filters(weight, bias, at, live, W: tl.constexpr, BIAS: tl.constexpr, BE: tl.constexpr):
    """The bias and a tuple of the W taps, [BE] each in float32."""
    offset = tl.zeros([BE], tl.float32)
    if BIAS:
        offset += tl.load(bias + at, mask=live, other=0.0).to(tl.float32)
    taps = ()
    for w in tl.static_range(W):
        taps += (tl.load(weight + at * W + w, mask=live, other=0.0).to(tl.float32),)
    return offset, taps


@triton.jit
def _weighted(start, taps, rows, first: tl.constexpr, step: tl.constexpr, W: tl.constexpr):
    """start + Σ_w taps_w · rows_{first + step · w}."""
    for w in tl.static_range(W):
        start += taps[w] * rows[first + step * w]
    return start


@triton.jit(do_not_specialize=SIZES)
def convolve(
    x, x_sequence, x_row, weight, bias, initial, output, final, length, channels, batch,
    W: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, ROWS: tl.constexpr, BIAS: tl.constexpr,
    INITIAL: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    member = sequence // batch * channels
    offset, taps = _filters(weight, bias, member + channel, live, W, BIAS, BE)
    x += sequence * x_sequence
    output += sequence * length * channels
    if INITIAL:
        initial += sequence * channels * (W - 1)
    begin = tl.program_id(0).to(tl.int64) * BT
    rows = ()
    for w in tl.static_range(W - 1):
        rows += (_padded(x, x_row, initial, begin + w, length, channel, channels, W, INITIAL),)
    for block in range(0, tl.cdiv(tl.minimum(BT, length - begin), ROWS)):
        time = begin + block * ROWS
        for r in tl.static_range(ROWS):
            rows += (_row(x, x_row, time + r, length, channel, channels),)
        for r in tl.static_range(ROWS):
            result = _weighted(offset, taps, rows, r, 1, W)
            if SILU:
                result *= tl.sigmoid(result)
            inside = channel < _width(time + r, length, channels)
            at = output + (time + r) * channels + channel
            tl.store(at, result.to(output.dtype.element_ty), mask=inside)
        rows = rows[ROWS:]
    if W > 1 and tl.program_id(0) == 0:
        for w in tl.static_range(W - 1):
            row = _padded(x, x_row, initial, length + w, length, channel, channels, W, INITIAL)
            at = (sequence * channels + channel) * (W - 1) + w
            tl.store(final + at, row.to(final.dtype.element_ty), mask=live)


@triton.jit(do_not_specialize=SIZES)
def convolve_back(
    x, x_sequence, x_row, weight, bias, initial, output_gradient, state_gradient, dx, dinitial,
    shares, length, channels, batch,
    W: tl.constexpr, BT: tl.constexpr, BE: tl.constexpr, ROWS: tl.constexpr, BIAS: tl.constexpr,
    INITIAL: tl.constexpr, FINAL: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """All gradients; `shares` [S, tiles, W + 1, E] hold each program's part of dweight and dbias.

    A program takes some rows of `padded`. Row p went into the outputs p − W + 1 to p, whose
    gradients are those of z; with SILU these need z again, of the rows up to p + W − 1.
    """
    sequence = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BE + tl.arange(0, BE)
    live = channel < channels
    member = sequence // batch * channels
    offset, taps = _filters(weight, bias, member + channel, live, W, BIAS and SILU, BE)
    part = (sequence * tl.num_programs(0) + tl.program_id(0)) * (W + 1) * channels + channel
    x += sequence * x_sequence
    output_gradient += sequence * length * channels
    dx += sequence * length * channels
    states = sequence * channels * (W - 1)
    if INITIAL:
        initial += states
        dinitial += states
    if FINAL:
        state_gradient += states
    begin = tl.program_id(0).to(tl.int64) * BT
    rows = ()
    for w in tl.static_range(-(W - 1) if SILU else 0, W - 1):
        rows += (_padded(x, x_row, initial, begin + w, length, channel, channels, W, INITIAL),)
    gradients = ()
    for w in tl.static_range(W - 1):
        gradient = _row(output_gradient, channels, begin + w - (W - 1), length, channel, channels)
        if SILU:
            gradient *= _slope(_weighted(offset, taps, rows, w, 1, W))
        gradients += (gradient,)
    if SILU:
        rows = rows[W - 1 :]
    sums = ()
    for _ in tl.static_range(W + 1):
        sums += (tl.zeros([BE], tl.float32),)
    for block in range(0, tl.cdiv(tl.minimum(BT, length + W - 1 - begin), ROWS)):
        place = begin + block * ROWS
        incoming = ()
        for r in tl.static_range(ROWS):
            row = _padded(
                x, x_row, initial, place + r + W - 1, length, channel, channels, W, INITIAL
            )
            rows += (row,)
            incoming += (_row(output_gradient, channels, place + r, length, channel, channels),)
        for r in tl.static_range(ROWS):
            gradient = incoming[r]
            if SILU:
                gradient *= _slope(_weighted(offset, taps, rows, r, 1, W))
            gradients += (gradient,)
            sums = _added(sums, gradient, rows, r, W)
            of_padded = _weighted(tl.zeros([BE], tl.float32), taps, gradients, W - 1 + r, -1, W)
            time = place + r - (W - 1)
            if FINAL:
                kept = place + r - length
                inside = channel < _width(kept, W - 1, channels)
                at = channel * (W - 1) + kept
                of_padded += tl.load(state_gradient + at, mask=inside, other=0.0).to(tl.float32)
            inside = channel < _width(time, length, channels)
            at = dx + time * channels + channel
            tl.store(at, of_padded.to(dx.dtype.element_ty), mask=inside)
            if INITIAL:
                at = dinitial + channel * (W - 1) + place + r
                inside = channel < _width(place + r, W - 1, channels)
                tl.store(at, of_padded.to(dinitial.dtype.element_ty), mask=inside)
        rows = rows[ROWS:]
        gradients = gradients[ROWS:]
    for w in tl.static_range(W + 1):
        tl.store(shares + part + w * channels, sums[w], mask=live)


@triton.jit
def _slope(z):
    """The derivative of silu(z) = z σ(z)."""
    gate = tl.sigmoid(z)
    return gate * (1 + z * (1 - gate))


@triton.jit
def _added(sums, gradient, rows, r: tl.constexpr, W: tl.constexpr):
    """The shares of dweight and dbias with one more token in them."""
    added = ()
    for w in tl.static_range(W):
        added += (sums[w] + gradient * rows[r + w],)
    added += (sums[W] + gradient,)
    return added


@triton.jit(do_not_specialize=["parts"])
def add_shares(
    shares, dweight, dbias, parts, channels, W: tl.constexpr, BP: tl.constexpr, BE: tl.constexpr
):
    """The sums of `shares` [M, parts, W + 1, E]: dweight [M, E, W] and dbias [M, E]."""
    member = tl.program_id(2).to(tl.int64)
    w = tl.program_id(1)
    channel = tl.program_id(0) * BE + tl.arange(0, BE)
    live = channel < channels
    total = tl.zeros([BP, BE], tl.float32)
    for begin in range(0, parts, BP):
        part = begin + tl.arange(0, BP)
        at = ((member * parts + part) * (W + 1) + w)[:, None] * channels + channel[None, :]
        inside = (part < parts)[:, None] & live[None, :]
        total += tl.load(shares + at, mask=inside, other=0.0)
    result = tl.sum(total, 0)
    at = member * channels + channel
    if w < W:
        tl.store(dweight + at * W + w, result.to(dweight.dtype.element_ty), mask=live)
    else:
        tl.store(dbias + at, result.to(dbias.dtype.element_ty), mask=live)
