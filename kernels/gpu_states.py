"""Triton kernels that carry a matrix state from chunk to chunk, forwards and backwards.

One program takes a block of value columns of one sequence and head, or of one segment of it, and
walks its chunks with the state in registers. docs/kernels-triton.md has the equations and names.

Constants: K, V head sizes, BK, BV their padded blocks, C the chunk, GATE 0 for no decay, 1 for one
a head, 2 for one a key channel, DELTA for the delta rule's corrections, DOT the input precision.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import (
    between,
    bounded,
    channel_scores,
    load_columns,
    load_rows,
    load_vector,
    store_rows,
)

SIZES = ["length", "heads", "chunks", "segments"]


@triton.jit
def decays(gate, left, heads, columns, K: tl.constexpr, C: tl.constexpr, GATE: tl.constexpr):
    """G inside the chunk and its decays from the start, to the end and over the whole.

    The shapes broadcast against q [C, K], kᵀ [K, C] and the state [K, V].
    """
    if GATE == 2:
        cumulative = tl.cumsum(bounded(load_rows(gate, columns, left, heads * K, K, C)), 0)
        gates = bounded(load_columns(gate, columns, left, heads * K, K, C))
        total = tl.sum(gates, 1)
        to_end = tl.exp((total[:, None] - tl.cumsum(gates, 1)).to(tl.float32))
    else:
        gates = bounded(load_vector(gate, left, heads, C))
        cumulative = tl.cumsum(gates, 0)
        total = tl.sum(gates, 0)
        to_end = tl.exp((total - cumulative).to(tl.float32))
    return cumulative, tl.exp(cumulative.to(tl.float32)), to_end, tl.exp(total.to(tl.float32))


@triton.jit(do_not_specialize=SIZES)
def walk(
    q, k, v, beta, gate, entering, output, final, states, corrections, inverse,
    length, heads, chunks, segments, scale,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    GATE: tl.constexpr, DELTA: tl.constexpr, INITIAL: tl.constexpr, KEEP: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """The output and the final state; with KEEP what the backward pass reads."""
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    GATES: tl.constexpr = K if GATE == 2 else 1
    rows = tl.arange(0, C)
    keys = tl.arange(0, BK)
    values = tl.program_id(1) * BV + tl.arange(0, BV)
    total_chunks = tl.cdiv(length, C)
    in_state = (keys < K)[:, None] & (values < V)[None, :]
    state_at = keys[:, None] * V + values[None, :]
    state = tl.zeros([BK, BV], tl.float32)
    if INITIAL:
        entry = entering + (sequence * segments + segment) * K * V
        state += tl.load(entry + state_at, mask=in_state, other=0.0).to(tl.float32)
    first = (sequence // heads) * length * heads + sequence % heads
    dtype = v.dtype.element_ty
    for chunk in range(segment * chunks, tl.minimum((segment + 1) * chunks, total_chunks)):
        left = length - chunk * C
        row = first + chunk * C * heads
        at = sequence * total_chunks + chunk
        q_tile = load_rows(q + row * K, keys, left, heads * K, K, C)
        keys_transposed = load_columns(k + row * K, keys, left, heads * K, K, C)
        v_tile = load_rows(v + row * V, values, left, heads * V, V, C)
        cumulative = tl.zeros([C], tl.float64)
        if GATE == 2:
            pair = channel_scores(
                q + row * K, k + row * K, gate + row * K, left, heads * K, K, C, False
            )
        else:
            pair = tl.dot(q_tile, keys_transposed, input_precision=DOT)
        if GATE > 0:
            cumulative, from_start, to_end, whole = decays(
                gate + row * GATES, left, heads, keys, K, C, GATE
            )
        if GATE == 2:
            q_tile = (q_tile * from_start).to(dtype)
        else:
            pair *= between(cumulative, C, GATE, False)
        if KEEP:
            store_at = states + at * K * V + state_at
            tl.store(store_at, state.to(dtype), mask=in_state)
        read = tl.dot(q_tile, state.to(dtype), input_precision=DOT)
        if GATE == 1:
            read *= from_start[:, None]
        if DELTA:
            k_tile = load_rows(k + row * K, keys, left, heads * K, K, C)
            strength = load_vector(beta + row, left, heads, C)
            solved = tl.load(inverse + at * C * C + rows[:, None] * C + rows[None, :])
            held = tl.dot(k_tile, state.to(dtype), input_precision=DOT)
            if GATE == 1:
                held *= from_start[:, None]
            # For a repeated key sums of corrections cancel, so T·R and Tᵀ·dŨ stay above bfloat16.
            right = strength[:, None] * (v_tile - held)
            v_tile = tl.dot(solved, right, input_precision=DOT).to(dtype)
            if KEEP:
                store_rows(corrections + row * V, v_tile, values, left, heads * V, V, C)
        read += tl.dot(pair.to(dtype), v_tile, input_precision=DOT)
        store_rows(output + row * V, read * scale, values, left, heads * V, V, C)
        if GATE == 1:
            keys_transposed = (keys_transposed * to_end[None, :]).to(dtype)
            state *= whole
        if GATE == 2:
            keys_transposed = (keys_transposed * to_end).to(dtype)
            state *= whole[:, None]
        state += tl.dot(keys_transposed, v_tile, input_precision=DOT)
    if segment == segments - 1:
        tl.store(final + sequence * K * V + state_at, state, mask=in_state)


@triton.jit(do_not_specialize=SIZES)
def walk_back(
    q, k, beta, gate, inverse, output_gradient, leaving, state_gradients, correction_gradients,
    initial_gradient, length, heads, chunks, segments, scale,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    GATE: tl.constexpr, DELTA: tl.constexpr, LEAVING: tl.constexpr, SUMMARY: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """The gradients of the state after each chunk and of the right sides of each chunk's system.

    A SUMMARY starts from zero and keeps only the gradient of the state before each segment.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    rows = tl.arange(0, C)
    keys = tl.arange(0, BK)
    values = tl.program_id(1) * BV + tl.arange(0, BV)
    total_chunks = tl.cdiv(length, C)
    in_state = (keys < K)[:, None] & (values < V)[None, :]
    state_at = keys[:, None] * V + values[None, :]
    gradient = tl.zeros([BK, BV], tl.float32)
    if LEAVING:
        exit_at = leaving + (sequence * segments + segment) * K * V
        gradient += tl.load(exit_at + state_at, mask=in_state, other=0.0).to(tl.float32)
    first = (sequence // heads) * length * heads + sequence % heads
    dtype = q.dtype.element_ty
    begin = segment * chunks
    end = tl.minimum(begin + chunks, total_chunks)
    for step in range(0, end - begin):
        chunk = end - 1 - step
        left = length - chunk * C
        row = first + chunk * C * heads
        at = sequence * total_chunks + chunk
        q_transposed = load_columns(q + row * K, keys, left, heads * K, K, C)
        do_tile = load_rows(output_gradient + row * V, values, left, heads * V, V, C)
        cumulative = tl.zeros([C], tl.float64)
        if GATE == 1:
            cumulative, from_start, to_end, whole = decays(gate + row, left, heads, keys, K, C, 1)
        if not SUMMARY:
            store_at = state_gradients + at * K * V + state_at
            tl.store(store_at, gradient.to(dtype), mask=in_state)
        if DELTA:
            k_tile = load_rows(k + row * K, keys, left, heads * K, K, C)
            pair = tl.dot(k_tile, q_transposed, input_precision=DOT)
            pair *= between(cumulative, C, GATE, True) * scale
            of_correction = tl.dot(k_tile, gradient.to(dtype), input_precision=DOT)
            if GATE == 1:
                of_correction *= to_end[:, None]
            of_correction += tl.dot(pair.to(dtype), do_tile, input_precision=DOT)
            square = inverse + at * C * C + rows[:, None] + rows[None, :] * C
            of_right = tl.dot(tl.load(square), of_correction, input_precision="tf32x3").to(dtype)
            if not SUMMARY:
                store_rows(correction_gradients + row * V, of_right, values, left, heads * V, V, C)
            removed = load_columns(k + row * K, keys, left, heads * K, K, C)
            strength = load_vector(beta + row, left, heads, C)
            if GATE == 1:
                strength *= from_start
            removed = (removed * strength[None, :]).to(dtype)
        if GATE == 2:
            gates = bounded(load_columns(gate + row * K, keys, left, heads * K, K, C))
            from_start = tl.exp(tl.cumsum(gates, 1).to(tl.float32))
            gradient *= tl.exp(tl.sum(gates, 1).to(tl.float32))[:, None]
            q_transposed = (q_transposed * from_start).to(dtype)
        if GATE == 1:
            gradient *= whole
            q_transposed = (q_transposed * from_start[None, :]).to(dtype)
        gradient += scale * tl.dot(q_transposed, do_tile, input_precision=DOT)
        if DELTA:
            gradient -= tl.dot(removed, of_right, input_precision=DOT)
    if SUMMARY:
        exit_at = initial_gradient + (sequence * segments + segment) * K * V
        tl.store(exit_at + state_at, gradient, mask=in_state)
    elif segment == 0:
        tl.store(initial_gradient + sequence * K * V + state_at, gradient, mask=in_state)
