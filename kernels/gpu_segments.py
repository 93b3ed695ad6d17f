"""Triton kernels for long sequences: what each segment does to a state, then all segments in turn.

A segment takes the state S before it to M·S + N. All segments compute M and N side by side; one
short walk over the segments gives the state (or its gradient) that enters each, and then `walk`
(or `walk_back`) takes all segments side by side. M is a matrix for the delta rule and a decay
otherwise.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_states import SIZES, decays
from lengthwise.kernels.gpu_tiles import load_columns, load_rows, load_vector


@triton.jit(do_not_specialize=SIZES)
def summarise(
    k, v, beta, gate, inverse, transitions, additions, length, heads, chunks, segments,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    GATE: tl.constexpr, DELTA: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """M and N of every segment.

    For the delta rule the blocks of columns beyond V are M's: they start from the identity and
    write nothing.
    """
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    segment = tl.program_id(0) % segments
    GATES: tl.constexpr = K if GATE == 2 else 1
    VALUE_BLOCKS: tl.constexpr = (V + BV - 1) // BV
    is_matrix = tl.program_id(1) >= VALUE_BLOCKS
    rows = tl.arange(0, C)
    keys = tl.arange(0, BK)
    shift = tl.where(is_matrix, VALUE_BLOCKS * BV, 0)
    columns = tl.program_id(1) * BV - shift + tl.arange(0, BV)
    values = tl.where(is_matrix, V, columns)
    total_chunks = tl.cdiv(length, C)
    state = tl.where(is_matrix & (keys[:, None] == columns[None, :]), 1.0, 0.0)
    decay = tl.full([BK if GATE == 2 else 1], 1.0, tl.float32)
    first = (sequence // heads) * length * heads + sequence % heads
    dtype = v.dtype.element_ty
    for chunk in range(segment * chunks, tl.minimum((segment + 1) * chunks, total_chunks)):
        left = length - chunk * C
        row = first + chunk * C * heads
        keys_transposed = load_columns(k + row * K, keys, left, heads * K, K, C)
        v_tile = load_rows(v + row * V, values, left, heads * V, V, C)
        if GATE > 0:
            _, from_start, to_end, whole = decays(gate + row * GATES, left, heads, keys, K, C, GATE)
        if DELTA:
            k_tile = load_rows(k + row * K, keys, left, heads * K, K, C)
            strength = load_vector(beta + row, left, heads, C)
            at = sequence * total_chunks + chunk
            solved = tl.load(inverse + at * C * C + rows[:, None] * C + rows[None, :])
            held = tl.dot(k_tile, state.to(dtype), input_precision=DOT)
            if GATE == 1:
                held *= from_start[:, None]
            right = strength[:, None] * (v_tile - held)
            v_tile = tl.dot(solved, right, input_precision=DOT).to(dtype)
        if GATE == 1:
            keys_transposed = (keys_transposed * to_end[None, :]).to(dtype)
            state *= whole
            decay *= whole
        if GATE == 2:
            keys_transposed = (keys_transposed * to_end).to(dtype)
            state *= whole[:, None]
            decay *= whole
        state += tl.dot(keys_transposed, v_tile, input_precision=DOT)
    at = sequence * segments + segment
    if is_matrix:
        inside = (keys < K)[:, None] & (columns < K)[None, :]
        places = keys[:, None] * K + columns[None, :]
        tl.store(transitions + at * K * K + places, state, mask=inside)
    else:
        inside = (keys < K)[:, None] & (columns < V)[None, :]
        tl.store(additions + at * K * V + keys[:, None] * V + columns[None, :], state, mask=inside)
        if not DELTA and tl.program_id(1) == 0:
            if GATE == 2:
                tl.store(transitions + at * K + keys, decay, mask=keys < K)
            else:
                tl.store(transitions + at + tl.arange(0, 1), decay)


@triton.jit(do_not_specialize=["segments"])
def combine(
    transitions, additions, start, entering, segments,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, GATE: tl.constexpr,
    DELTA: tl.constexpr, START: tl.constexpr, BACKWARD: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """The state before each segment, or (BACKWARD) the gradient of the state after it."""
    sequence = tl.program_id(0).to(tl.int64)
    keys = tl.arange(0, BK)
    values = tl.program_id(1) * BV + tl.arange(0, BV)
    in_state = (keys < K)[:, None] & (values < V)[None, :]
    state_at = keys[:, None] * V + values[None, :]
    state = tl.zeros([BK, BV], tl.float32)
    if START:
        entry = start + sequence * K * V + state_at
        state += tl.load(entry, mask=in_state, other=0.0).to(tl.float32)
    PART: tl.constexpr = 64 if BK > 64 else BK
    for step in range(0, segments):
        segment = segments - 1 - step if BACKWARD else step
        at = sequence * segments + segment
        here = entering + at * K * V
        tl.store(here + state_at, state, mask=in_state)
        added = tl.load(additions + at * K * V + state_at, mask=in_state, other=0.0)
        if DELTA:
            if BK > PART:
                tl.debug_barrier()
            for begin in range(0, BK, PART):
                part = begin + tl.arange(0, PART)
                if BACKWARD:
                    places = part[None, :] * K + keys[:, None]
                else:
                    places = keys[:, None] * K + part[None, :]
                inside = (keys < K)[:, None] & (part < K)[None, :]
                matrix = tl.load(transitions + at * K * K + places, mask=inside, other=0.0)
                if BK > PART:
                    inside = (part < K)[:, None] & (values < V)[None, :]
                    places = part[:, None] * V + values[None, :]
                    factor = tl.load(here + places, mask=inside, other=0.0)
                else:
                    factor = state
                added += tl.dot(matrix, factor, input_precision=DOT)
            state = added
        elif GATE == 2:
            decay = tl.load(transitions + at * K + keys, mask=keys < K, other=0.0)
            state = decay[:, None] * state + added
        else:
            state = tl.load(transitions + at) * state + added
