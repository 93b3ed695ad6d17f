"""Triton kernels for the gradients inside a chunk: one program a chunk and head, all side by side.

They read the state S before the chunk, the gradient dS of the state after it, and for the delta
rule the corrections and the gradients of their right sides. A log-decay's gradient is the sum
over the pairs of positions that it stands between, so nothing cancels where decays are strong.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_states import decays
from lengthwise.kernels.gpu_tiles import (
    between,
    bounded,
    causal,
    channel_between,
    channel_scores,
    load_columns,
    load_rows,
    load_vector,
    store_rows,
)


@triton.jit
def _straddling(pairs, ends, starts, C: tl.constexpr, DOT: tl.constexpr):
    """Σ_{i ≥ t} Σ_{j < t} pairs_ij + Σ_{j < t} ends_j + Σ_{i ≥ t} starts_i for every t."""
    after = tl.where(causal(C, False, True), 1.0, 0.0)
    summed = tl.dot(after, pairs, input_precision=DOT)
    before = causal(C, True, False)
    return tl.sum(tl.where(before, summed + ends[None, :], starts[None, :]), 1)


@triton.jit(do_not_specialize=["length", "heads"])
def chunk_gradients(
    q, k, v, beta, gate, corrections, states, output_gradient, correction_gradients,
    state_gradients, dq, dk, dv, dbeta, dgate, length, heads, scale,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    GATE: tl.constexpr, DELTA: tl.constexpr, DOT: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    chunk = tl.program_id(0)
    sequence = tl.program_id(1).to(tl.int64)
    total_chunks = tl.num_programs(0)
    left = length - chunk * C
    row = (sequence // heads) * length * heads + sequence % heads + chunk * C * heads
    at = (sequence * total_chunks + chunk) * K * V
    q, k, dq, dk = q + row * K, k + row * K, dq + row * K, dk + row * K
    v, dv, output_gradient = v + row * V, dv + row * V, output_gradient + row * V
    states, state_gradients = states + at, state_gradients + at
    by_k, by_v = heads * K, heads * V
    dtype = q.dtype.element_ty
    rows = tl.arange(0, C)
    strength = tl.zeros([C], tl.float32)
    if DELTA:
        corrections, correction_gradients = corrections + row * V, correction_gradients + row * V
        strength = load_vector(beta + row, left, heads, C)
        beta_gradient = tl.zeros([C], tl.float32)
        by_correction = tl.zeros([C], tl.float32)
    cumulative = tl.zeros([C], tl.float64)
    from_start = tl.full([C], 1.0, tl.float32)
    to_end = tl.full([C], 1.0, tl.float32)
    if GATE:
        cumulative, from_start, to_end, whole = decays(gate + row, left, heads, rows, K, C, GATE)

    if not DELTA:
        scores_transposed = tl.zeros([C, C], tl.float32)
        for start in range(0, K, BK):
            keys = start + tl.arange(0, BK)
            k_tile = load_rows(k, keys, left, by_k, K, C)
            q_transposed = load_columns(q, keys, left, by_k, K, C)
            scores_transposed += tl.dot(k_tile, q_transposed, input_precision=DOT)
        scores_transposed *= between(cumulative, C, GATE, True) * scale
        scores_transposed = scores_transposed.to(dtype)

    of_scores = tl.zeros([C, C], tl.float32)
    of_scores_transposed = tl.zeros([C, C], tl.float32)
    of_system = tl.zeros([C, C], tl.float32)
    of_system_transposed = tl.zeros([C, C], tl.float32)
    for start in range(0, V, BV):
        values = start + tl.arange(0, BV)
        do_tile = load_rows(output_gradient, values, left, by_v, V, C)
        do_transposed = load_columns(output_gradient, values, left, by_v, V, C)
        if DELTA:
            u_tile = load_rows(corrections, values, left, by_v, V, C)
            u_transposed = load_columns(corrections, values, left, by_v, V, C)
            dr_tile = load_rows(correction_gradients, values, left, by_v, V, C)
            dr_transposed = load_columns(correction_gradients, values, left, by_v, V, C)
            of_system -= tl.dot(dr_tile, u_transposed, input_precision=DOT)
            of_system_transposed -= tl.dot(u_tile, dr_transposed, input_precision=DOT)
            v_tile = load_rows(v, values, left, by_v, V, C).to(tl.float32)
            beta_gradient += tl.sum(dr_tile * v_tile, 1)
            by_correction += tl.sum(dr_tile * u_tile.to(tl.float32), 1)
            store_rows(dv, strength[:, None] * dr_tile, values, left, by_v, V, C)
        else:
            u_tile = load_rows(v, values, left, by_v, V, C)
            u_transposed = load_columns(v, values, left, by_v, V, C)
            added = tl.zeros([C, BV], tl.float32)
            for begin in range(0, K, BK):
                keys = begin + tl.arange(0, BK)
                k_tile = load_rows(k, keys, left, by_k, K, C)
                added += _from_state(k_tile, state_gradients, keys, values, K, V, DOT)
            added *= to_end[:, None]
            added += tl.dot(scores_transposed, do_tile, input_precision=DOT)
            store_rows(dv, added, values, left, by_v, V, C)
        of_scores += tl.dot(do_tile, u_transposed, input_precision=DOT)
        of_scores_transposed += tl.dot(u_tile, do_transposed, input_precision=DOT)
    # Only now: with these held through the loop above registers would spill.
    scores = tl.zeros([C, C], tl.float32)
    overlaps = tl.zeros([C, C], tl.float32)
    for start in range(0, K, BK):
        keys = start + tl.arange(0, BK)
        k_transposed = load_columns(k, keys, left, by_k, K, C)
        if GATE:
            q_tile = load_rows(q, keys, left, by_k, K, C)
            scores += tl.dot(q_tile, k_transposed, input_precision=DOT)
        if DELTA:
            k_tile = load_rows(k, keys, left, by_k, K, C)
            overlaps += tl.dot(k_tile, k_transposed, input_precision=DOT)
    weights = between(cumulative, C, GATE, False)
    weights_transposed = between(cumulative, C, GATE, True)
    of_scores *= weights * scale
    of_scores_transposed *= weights_transposed * scale
    pairs = of_scores * scores
    mixing = of_scores.to(dtype)
    mixing_transposed = of_scores_transposed.to(dtype)
    if DELTA:
        of_system *= tl.where(causal(C, True, False), weights, 0.0)
        beta_gradient += tl.sum(of_system * overlaps, 1)
        of_system *= strength[:, None]
        pairs += of_system * overlaps
        of_system_transposed *= tl.where(causal(C, True, True), weights_transposed, 0.0)
        symmetric = (of_system + of_system_transposed * strength[None, :]).to(dtype)

    starts = tl.zeros([C], tl.float32)
    ends = tl.zeros([C], tl.float32)
    kept = 0.0
    for start in range(0, K, BK):
        keys = start + tl.arange(0, BK)
        q_gradient = tl.zeros([C, BK], tl.float32)
        written = tl.zeros([C, BK], tl.float32)
        erased = tl.zeros([C, BK], tl.float32)
        for begin in range(0, V, BV):
            values = begin + tl.arange(0, BV)
            inside = (values < V)[:, None] & (keys < K)[None, :]
            places = keys[None, :] * V + values[:, None]
            state = tl.load(states + places, mask=inside, other=0.0)
            of_state = tl.load(state_gradients + places, mask=inside, other=0.0)
            do_tile = load_rows(output_gradient, values, left, by_v, V, C)
            q_gradient += tl.dot(do_tile, state, input_precision=DOT)
            if DELTA:
                dr_tile = load_rows(correction_gradients, values, left, by_v, V, C)
                erased += tl.dot(dr_tile, state, input_precision=DOT)
                u_tile = load_rows(corrections, values, left, by_v, V, C)
            else:
                u_tile = load_rows(v, values, left, by_v, V, C)
            written += tl.dot(u_tile, of_state, input_precision=DOT)
            if GATE:
                kept += tl.sum(state.to(tl.float32) * of_state.to(tl.float32))
        q_tile = load_rows(q, keys, left, by_k, K, C)
        k_tile = load_rows(k, keys, left, by_k, K, C)
        q_gradient *= from_start[:, None] * scale
        written *= to_end[:, None]
        if GATE:
            starts += tl.sum(q_tile * q_gradient, 1)
            ends += tl.sum(k_tile * written, 1)
        q_gradient += tl.dot(mixing, k_tile, input_precision=DOT)
        store_rows(dq, q_gradient, keys, left, by_k, K, C)
        if DELTA:
            erased *= from_start[:, None]
            reads = tl.sum(k_tile * erased, 1)
            beta_gradient -= reads
            starts -= strength * reads
            written -= strength[:, None] * erased
            written += tl.dot(symmetric, k_tile, input_precision=DOT)
        written += tl.dot(mixing_transposed, q_tile, input_precision=DOT)
        store_rows(dk, written, keys, left, by_k, K, C)
    if DELTA:
        # dβ = dR·Ũ / β; for small β, whose Ũ may underflow, the sum of the terms of Ũ / β.
        large = tl.abs(strength) > 0.01
        beta_gradient = tl.where(
            large, by_correction / tl.where(large, strength, 1.0), beta_gradient
        )
        beta_at = dbeta + row + rows * heads
        tl.store(beta_at, beta_gradient.to(dbeta.dtype.element_ty), mask=rows < left)
    if GATE:
        of_gate = _straddling(pairs, ends, starts, C, SUM) + whole * kept
        tl.store(dgate + row + rows * heads, of_gate.to(dgate.dtype.element_ty), mask=rows < left)


@triton.jit
def _from_state(tile, states, keys, values, K: tl.constexpr, V: tl.constexpr, DOT: tl.constexpr):
    """tile [C, K] times a state [K, V] in memory."""
    inside = (keys < K)[:, None] & (values < V)[None, :]
    state = tl.load(states + keys[:, None] * V + values[None, :], mask=inside, other=0.0)
    return tl.dot(tile, state, input_precision=DOT)


@triton.jit(do_not_specialize=["length", "heads"])
def channel_gradients(
    q, k, v, gate, states, output_gradient, state_gradients, dq, dk, dv, dgate,
    length, heads, scale,
    K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """`chunk_gradients` of linear attention with a decay a key channel."""
    chunk = tl.program_id(0)
    sequence = tl.program_id(1).to(tl.int64)
    left = length - chunk * C
    row = (sequence // heads) * length * heads + sequence % heads + chunk * C * heads
    at = (sequence * tl.num_programs(0) + chunk) * K * V
    q, k, gate = q + row * K, k + row * K, gate + row * K
    dq, dk, dgate = dq + row * K, dk + row * K, dgate + row * K
    v, dv, output_gradient = v + row * V, dv + row * V, output_gradient + row * V
    states, state_gradients = states + at, state_gradients + at
    by_k, by_v = heads * K, heads * V
    dtype = q.dtype.element_ty

    scores_transposed = channel_scores(k, q, gate, left, by_k, K, C, True) * scale
    of_scores = tl.zeros([C, C], tl.float32)
    for start in range(0, V, BV):
        values = start + tl.arange(0, BV)
        do_tile = load_rows(output_gradient, values, left, by_v, V, C)
        v_transposed = load_columns(v, values, left, by_v, V, C)
        of_scores += tl.dot(do_tile, v_transposed, input_precision=DOT)
        added = tl.dot(scores_transposed.to(dtype), do_tile, input_precision=DOT)
        for begin in range(0, K, BK):
            keys = begin + tl.arange(0, BK)
            gates = bounded(load_rows(gate, keys, left, by_k, K, C))
            remaining = tl.sum(gates, 0)[None, :] - tl.cumsum(gates, 0)
            decayed = load_rows(k, keys, left, by_k, K, C) * tl.exp(remaining.to(tl.float32))
            added += _from_state(decayed.to(dtype), state_gradients, keys, values, K, V, DOT)
        store_rows(dv, added, values, left, by_v, V, C)
    of_scores *= scale

    before = causal(C, True, False)[:, :, None]
    for start in range(0, K, BK):
        keys = start + tl.arange(0, BK)
        q_gradient = tl.zeros([C, BK], tl.float32)
        k_gradient = tl.zeros([C, BK], tl.float32)
        kept = tl.zeros([BK], tl.float32)
        for begin in range(0, V, BV):
            values = begin + tl.arange(0, BV)
            inside = (values < V)[:, None] & (keys < K)[None, :]
            places = keys[None, :] * V + values[:, None]
            state = tl.load(states + places, mask=inside, other=0.0)
            of_state = tl.load(state_gradients + places, mask=inside, other=0.0)
            do_tile = load_rows(output_gradient, values, left, by_v, V, C)
            v_tile = load_rows(v, values, left, by_v, V, C)
            q_gradient += tl.dot(do_tile, state, input_precision=DOT)
            k_gradient += tl.dot(v_tile, of_state, input_precision=DOT)
            kept += tl.sum(state.to(tl.float32) * of_state.to(tl.float32), 0)
        q_tile = load_rows(q, keys, left, by_k, K, C).to(tl.float32)
        k_tile = load_rows(k, keys, left, by_k, K, C).to(tl.float32)
        gates = bounded(load_rows(gate, keys, left, by_k, K, C))
        cumulative = tl.cumsum(gates, 0)
        total = tl.sum(gates, 0)
        q_gradient *= tl.exp(cumulative.to(tl.float32)) * scale
        k_gradient *= tl.exp((total[None, :] - cumulative).to(tl.float32))
        starts = q_tile * q_gradient
        ends = k_tile * k_gradient
        weights = channel_between(cumulative, C, False) * of_scores[:, :, None]
        q_gradient += tl.sum(weights * k_tile[None, :, :], 1)
        k_gradient += tl.sum(weights * q_tile[:, None, :], 0)
        store_rows(dq, q_gradient, keys, left, by_k, K, C)
        store_rows(dk, k_gradient, keys, left, by_k, K, C)
        pairs = weights * q_tile[:, None, :] * k_tile[None, :, :]
        summed = tl.cumsum(pairs, 0, reverse=True) + ends[None, :, :]
        of_gate = tl.sum(tl.where(before, summed, starts[None, :, :]), 1)
        of_gate += (tl.exp(total.to(tl.float32)) * kept)[None, :]
        store_rows(dgate, of_gate, keys, left, by_k, K, C)
