"""Triton kernels of causal softmax attention: blocks of tokens, weights in registers only.

A program takes one block of `C` tokens of a pair (sequence, head) and walks the blocks that it
needs of the others; a sequence of one block is a program, forward and backward. No sum is divided
among programs. Exponentials are to base 2: `lse` is log2 Σ_j 2^(logit_ij · log2 e).

Tokens of q, k and v lie `*_time` numbers apart, heads `*_head`, sequences `*_batch`; everything
else is dense [B, T, H, …], lse and delta [B, H, T]. Where a product's result would have to be
turned to be a left factor, the turned product is formed instead (decision 0010).
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import (
    load_columns,
    load_rows,
    load_vector,
    store_columns,
    store_rows,
)

LOG2E = tl.constexpr(1.4426950408889634)
SIZES = ["length", "heads"]


@triton.jit
def _place(length, C: tl.constexpr):
    """A program's pair and the first token of its block."""
    blocks = tl.cdiv(length, C)
    return tl.program_id(0) // blocks, tl.program_id(0) % blocks * C


@triton.jit
def _rows(tensor, pair, heads, of_batch, of_head):
    """Where the rows of a pair begin."""
    return tensor + (pair // heads).to(tl.int64) * of_batch + pair % heads * of_head


@triton.jit
def _dense(tensor, pair, heads, length, width: tl.constexpr):
    """Where the rows of a pair begin in [B, T, H, width]."""
    return _rows(tensor, pair, heads, length * heads * width, width)


@triton.jit
def _logits(
    left, right, ahead, SCALE: tl.constexpr, C: tl.constexpr, TURNED: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """To base 2 [queries, keys], or TURNED [keys, queries]; −∞ where the key is the later.

    The first query is `ahead` tokens after the first key.
    """
    logits = tl.dot(left, tl.trans(right), input_precision=DOT) * (SCALE * LOG2E)
    first, second = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    earlier = first <= second + ahead if TURNED else second <= first + ahead
    return tl.where(earlier, logits, float("-inf"))


@triton.jit(do_not_specialize=SIZES)
def attend(
    q, k, v, output, lse,
    q_batch, q_head, q_time, k_batch, k_head, k_time, v_batch, v_head, v_time, length, heads,
    SCALE: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    C: tl.constexpr, LONG: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """A block of queries: its own keys first, which leave no row without a weight."""
    pair, first = _place(length, C)
    keys, values = tl.arange(0, BK), tl.arange(0, BV)
    left = length - first
    q = _rows(q, pair, heads, q_batch, q_head) + first * q_time
    k = _rows(k, pair, heads, k_batch, k_head)
    v = _rows(v, pair, heads, v_batch, v_head)
    query = load_rows(q, keys, left, q_time, K, C)
    key = load_rows(k + first * k_time, keys, left, k_time, K, C)
    value = load_rows(v + first * v_time, values, left, v_time, V, C)
    logits = _logits(query, key, 0, SCALE, C, False, DOT)
    most = tl.max(logits, 1)
    p = tl.exp2(logits - most[:, None])
    total = tl.sum(p, 1)
    result = tl.dot(p.to(value.dtype), value, input_precision=DOT)
    if LONG:
        for start in range(0, first, C):
            key = load_rows(k + start * k_time, keys, C, k_time, K, C)
            value = load_rows(v + start * v_time, values, C, v_time, V, C)
            logits = tl.dot(query, tl.trans(key), input_precision=DOT) * (SCALE * LOG2E)
            higher = tl.maximum(most, tl.max(logits, 1))
            p = tl.exp2(logits - higher[:, None])
            shrink = tl.exp2(most - higher)
            total = total * shrink + tl.sum(p, 1)
            result *= shrink[:, None]
            result = tl.dot(p.to(value.dtype), value, result, input_precision=DOT)
            most = higher
    token = tl.arange(0, C)
    at = lse + pair.to(tl.int64) * length + first + token
    tl.store(at, most + tl.log2(total), mask=token < left)
    output = _dense(output, pair, heads, length, V) + first * heads * V
    store_rows(output, result / total[:, None], values, left, heads * V, V, C)


@triton.jit(do_not_specialize=SIZES)
def attend_back(
    q, k, v, lse, gradient, dq, dk, dv,
    q_batch, q_head, q_time, k_batch, k_head, k_time, v_batch, v_head, v_time, length, heads,
    SCALE: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All gradients of a sequence of one block; P and dP are [keys, queries]."""
    pair = tl.program_id(0)
    keys, values = tl.arange(0, BK), tl.arange(0, BV)
    k = _rows(k, pair, heads, k_batch, k_head)
    key = load_rows(k, keys, length, k_time, K, C)
    query = load_rows(_rows(q, pair, heads, q_batch, q_head), keys, length, q_time, K, C)
    value = load_rows(_rows(v, pair, heads, v_batch, v_head), values, length, v_time, V, C)
    gradient = _dense(gradient, pair, heads, length, V)
    incoming = load_rows(gradient, values, length, heads * V, V, C)
    of_queries = load_vector(lse + pair.to(tl.int64) * length, length, 1, C)
    p = tl.exp2(_logits(key, query, 0, SCALE, C, True, DOT) - of_queries[None, :])
    result = tl.dot(p.to(incoming.dtype), incoming, input_precision=DOT)
    store_rows(_dense(dv, pair, heads, length, V), result, values, length, heads * V, V, C)
    dp = tl.dot(value, tl.trans(incoming), input_precision=DOT)
    ds = (p * (dp - tl.sum(p * dp, 0)[None, :])).to(query.dtype)
    result = tl.dot(ds, query, input_precision=DOT) * SCALE
    store_rows(_dense(dk, pair, heads, length, K), result, keys, length, heads * K, K, C)
    turned = load_columns(k, keys, length, k_time, K, C)
    result = tl.dot(turned, ds, input_precision=DOT) * SCALE
    store_columns(_dense(dq, pair, heads, length, K), result, keys, length, heads * K, K, C)


@triton.jit(do_not_specialize=SIZES)
def queries_back(
    q, k, v, output, lse, gradient, delta, dq,
    q_batch, q_head, q_time, k_batch, k_head, k_time, v_batch, v_head, v_time, length, heads,
    SCALE: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dq of a block, and delta_i = Σ_v dO_iv O_iv = Σ_j P_ij dP_ij for `keys_back`."""
    pair, first = _place(length, C)
    keys, values = tl.arange(0, BK), tl.arange(0, BV)
    left = length - first
    q = _rows(q, pair, heads, q_batch, q_head) + first * q_time
    k = _rows(k, pair, heads, k_batch, k_head)
    v = _rows(v, pair, heads, v_batch, v_head)
    gradient = _dense(gradient, pair, heads, length, V) + first * heads * V
    output = _dense(output, pair, heads, length, V) + first * heads * V
    query = load_rows(q, keys, left, q_time, K, C)
    incoming = load_rows(gradient, values, left, heads * V, V, C)
    mixed = load_rows(output, values, left, heads * V, V, C)
    of_tokens = pair.to(tl.int64) * length + first
    of_queries = load_vector(lse + of_tokens, left, 1, C)
    sums = tl.sum(incoming.to(tl.float32) * mixed.to(tl.float32), 1)
    token = tl.arange(0, C)
    tl.store(delta + of_tokens + token, sums, mask=token < left)
    result = tl.zeros([C, BK], tl.float32)
    for start in range(0, first + C, C):
        key = load_rows(k + start * k_time, keys, length - start, k_time, K, C)
        value = load_rows(v + start * v_time, values, length - start, v_time, V, C)
        logits = _logits(query, key, first - start, SCALE, C, False, DOT)
        p = tl.exp2(logits - of_queries[:, None])
        dp = tl.dot(incoming, tl.trans(value), input_precision=DOT)
        ds = p * (dp - sums[:, None])
        result = tl.dot(ds.to(key.dtype), key, result, input_precision=DOT)
    dq = _dense(dq, pair, heads, length, K) + first * heads * K
    store_rows(dq, result * SCALE, keys, left, heads * K, K, C)


@triton.jit(do_not_specialize=SIZES)
def keys_back(
    q, k, v, lse, gradient, delta, dk, dv,
    q_batch, q_head, q_time, k_batch, k_head, k_time, v_batch, v_head, v_time, length, heads,
    SCALE: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dk and dv of a block, from its own queries and all later ones."""
    pair, first = _place(length, C)
    keys, values = tl.arange(0, BK), tl.arange(0, BV)
    left = length - first
    q = _rows(q, pair, heads, q_batch, q_head)
    k = _rows(k, pair, heads, k_batch, k_head) + first * k_time
    v = _rows(v, pair, heads, v_batch, v_head) + first * v_time
    gradient = _dense(gradient, pair, heads, length, V)
    lse += pair.to(tl.int64) * length
    delta += pair.to(tl.int64) * length
    key = load_rows(k, keys, left, k_time, K, C)
    value = load_rows(v, values, left, v_time, V, C)
    of_keys, of_values = tl.zeros([C, BK], tl.float32), tl.zeros([C, BV], tl.float32)
    for start in range(first, length, C):
        query = load_rows(q + start * q_time, keys, length - start, q_time, K, C)
        here = gradient + start * heads * V
        incoming = load_rows(here, values, length - start, heads * V, V, C)
        of_queries = load_vector(lse + start, length - start, 1, C)
        sums = load_vector(delta + start, length - start, 1, C)
        logits = _logits(key, query, start - first, SCALE, C, True, DOT)
        p = tl.exp2(logits - of_queries[None, :])
        of_values = tl.dot(p.to(incoming.dtype), incoming, of_values, input_precision=DOT)
        dp = tl.dot(value, tl.trans(incoming), input_precision=DOT)
        ds = p * (dp - sums[None, :])
        of_keys = tl.dot(ds.to(query.dtype), query, of_keys, input_precision=DOT)
    dk = _dense(dk, pair, heads, length, K) + first * heads * K
    store_rows(dk, of_keys * SCALE, keys, left, heads * K, K, C)
    dv = _dense(dv, pair, heads, length, V) + first * heads * V
    store_rows(dv, of_values, values, left, heads * V, V, C)
