"""Triton kernels of causal linear attention: blocks of tokens, weights in registers only.

Up to some hundred tokens the masked products are cheaper than a state carried from chunk to
chunk. With features φ(x) = elu(x) + 1, whose slope is min(φ, 1), and keys j ≤ i,

    s_ij = φ(q_i)·φ(k_j)    d_i = Σ_j s_ij + eps       p_ij = s_ij / d_i    y_i = Σ_j p_ij v_j
    dp_ij = dy_i·v_j        δ_i = Σ_j p_ij dp_ij = dy_i·y_i         ds_ij = (dp_ij − δ_i) / d_i
    dv_j = Σ_i p_ij dy_i    dφ(q_i) = Σ_j ds_ij φ(k_j)         dφ(k_j) = Σ_i ds_ij φ(q_i)

A program takes one block of `C` tokens of a pair (sequence, head) and walks the blocks that it
needs of the others; a sequence of one block is a program, forward and backward. No sum is divided
among programs. qkv and its gradient are [B, T, 3, H, D], the output and its gradient [B, T, H, D],
1 / d and δ [B, H, T]. Where a product's result would have to be turned to be a left factor, the
turned product is formed instead (decision 0010).
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

SIZES = ["length", "heads"]


@triton.jit
def _place(length, C: tl.constexpr):
    """A program's pair and the first token of its block."""
    blocks = tl.cdiv(length, C)
    return tl.program_id(0) // blocks, tl.program_id(0) % blocks * C


@triton.jit
def _rows(
    tensor, pair, first, length, heads, D: tl.constexpr, PARTS: tl.constexpr, PART: tl.constexpr
):  # fmt: skip
    """Where the rows of a pair begin in [B, T, PARTS, H, D], from token `first` on."""
    token = (pair // heads).to(tl.int64) * length + first
    return tensor + (token * PARTS + PART) * heads * D + pair % heads * D


@triton.jit
def _features(tile, channels, D: tl.constexpr, BD: tl.constexpr):
    """φ in float32, and 0 in channels that do not exist."""
    wide = tile.to(tl.float32)
    features = tl.exp(tl.minimum(wide, 0.0)) + tl.maximum(wide, 0.0)
    return features if BD == D else tl.where(channels < D, features, 0.0)


@triton.jit
def _load_features(rows, left, stride, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr):
    """φ of [C, D]."""
    channels = tl.arange(0, BD)
    tile = load_rows(rows, channels, left, stride, D, C)
    return _features(tile, channels[None, :], D, BD).to(tile.dtype)


@triton.jit
def _load_turned(rows, left, stride, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr):
    """φ of [C, D] as [D, C]."""
    channels = tl.arange(0, BD)
    tile = load_columns(rows, channels, left, stride, D, C)
    return _features(tile, channels[:, None], D, BD).to(tile.dtype)


@triton.jit
def _causal(tile, ahead, C: tl.constexpr, TURNED: tl.constexpr):
    """0 where the key is the later: tile is [queries, keys], or TURNED [keys, queries].

    The first query is `ahead` tokens after the first key.
    """
    first, second = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    earlier = first <= second + ahead if TURNED else second <= first + ahead
    return tl.where(earlier, tile, 0.0)


@triton.jit(do_not_specialize=SIZES)
def attend(
    qkv, output, inverses, eps, length, heads,
    D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr, LONG: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    pair, first = _place(length, C)
    channels = tl.arange(0, BD)
    stride = 3 * heads * D
    left = length - first
    q = _rows(qkv, pair, first, length, heads, D, 3, 0)
    k = _rows(qkv, pair, 0, length, heads, D, 3, 1)
    v = _rows(qkv, pair, 0, length, heads, D, 3, 2)
    query = _load_features(q, left, stride, D, BD, C)
    key = _load_features(k + first * stride, left, stride, D, BD, C)
    value = load_rows(v + first * stride, channels, left, stride, D, C)
    s = _causal(tl.dot(query, tl.trans(key), input_precision=DOT), 0, C, False)
    total = tl.sum(s, 1) + eps
    result = tl.dot(s.to(value.dtype), value, input_precision=DOT)
    if LONG:
        for start in range(0, first, C):
            key = _load_features(k + start * stride, C, stride, D, BD, C)
            value = load_rows(v + start * stride, channels, C, stride, D, C)
            s = tl.dot(query, tl.trans(key), input_precision=DOT)
            total += tl.sum(s, 1)
            result = tl.dot(s.to(value.dtype), value, result, input_precision=DOT)
    token = tl.arange(0, C)
    inverse = 1.0 / total
    tl.store(inverses + pair.to(tl.int64) * length + first + token, inverse, mask=token < left)
    output = _rows(output, pair, first, length, heads, D, 1, 0)
    store_rows(output, result * inverse[:, None], channels, left, heads * D, D, C)


@triton.jit(do_not_specialize=SIZES)
def final_states(
    qkv, state, length, heads,
    D: tl.constexpr, BD: tl.constexpr, BV: tl.constexpr, C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Σ_t φ(k_t) [v_t, 1] as [B, H, D, D + 1]: a program a pair and block of value channels."""
    pair = tl.program_id(0)
    keys, values = tl.arange(0, BD), tl.program_id(1) * BV + tl.arange(0, BV)
    stride = 3 * heads * D
    k = _rows(qkv, pair, 0, length, heads, D, 3, 1)
    v = _rows(qkv, pair, 0, length, heads, D, 3, 2)
    products = tl.zeros([BD, BV], tl.float32)
    sums = tl.zeros([BD], tl.float32)
    for start in range(0, length, C):
        left = length - start
        turned = _load_turned(k + start * stride, left, stride, D, BD, C)
        turned = tl.where((tl.arange(0, C) < left)[None, :], turned, 0.0).to(turned.dtype)
        value = load_rows(v + start * stride, values, left, stride, D, C)
        products = tl.dot(turned, value, products, input_precision=DOT)
        sums += tl.sum(turned.to(tl.float32), 1)
    rows = state + pair.to(tl.int64) * D * (D + 1) + keys * (D + 1)
    inside = (keys < D)[:, None] & (values < D)[None, :]
    tl.store(rows[:, None] + values[None, :], products, mask=inside)
    tl.store(rows + D, sums, mask=keys < tl.where(tl.program_id(1) == 0, D, 0))


@triton.jit(do_not_specialize=SIZES)
def attend_back(
    qkv, inverses, gradient, dqkv, length, heads,
    D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All gradients of a sequence of one block; p, dp and ds are [keys, queries]."""
    pair = tl.program_id(0)
    channels = tl.arange(0, BD)
    stride = 3 * heads * D
    q = _rows(qkv, pair, 0, length, heads, D, 3, 0)
    k = _rows(qkv, pair, 0, length, heads, D, 3, 1)
    v = _rows(qkv, pair, 0, length, heads, D, 3, 2)
    dq = _rows(dqkv, pair, 0, length, heads, D, 3, 0)
    dk = _rows(dqkv, pair, 0, length, heads, D, 3, 1)
    dv = _rows(dqkv, pair, 0, length, heads, D, 3, 2)
    query = _load_features(q, length, stride, D, BD, C)
    key = _load_features(k, length, stride, D, BD, C)
    value = load_rows(v, channels, length, stride, D, C)
    gradient = _rows(gradient, pair, 0, length, heads, D, 1, 0)
    incoming = load_rows(gradient, channels, length, heads * D, D, C)
    inverse = load_vector(inverses + pair.to(tl.int64) * length, length, 1, C)[None, :]
    s = tl.dot(key, tl.trans(query), input_precision=DOT)
    p = _causal(s, 0, C, True) * inverse
    result = tl.dot(p.to(incoming.dtype), incoming, input_precision=DOT)
    store_rows(dv, result, channels, length, stride, D, C)
    dp = tl.dot(value, tl.trans(incoming), input_precision=DOT)
    ds = _causal((dp - tl.sum(p * dp, 0)[None, :]) * inverse, 0, C, True).to(query.dtype)
    result = tl.dot(ds, query, input_precision=DOT) * tl.minimum(key.to(tl.float32), 1.0)
    store_rows(dk, result, channels, length, stride, D, C)
    turned = _load_turned(k, length, stride, D, BD, C)
    slope = tl.minimum(_load_turned(q, length, stride, D, BD, C).to(tl.float32), 1.0)
    result = tl.dot(turned, ds, input_precision=DOT) * slope
    store_columns(dq, result, channels, length, stride, D, C)


@triton.jit(do_not_specialize=SIZES)
def queries_back(
    qkv, output, inverses, gradient, delta, dqkv, length, heads,
    D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dq of a block, and δ for `keys_back`."""
    pair, first = _place(length, C)
    channels = tl.arange(0, BD)
    stride = 3 * heads * D
    left = length - first
    q = _rows(qkv, pair, first, length, heads, D, 3, 0)
    k = _rows(qkv, pair, 0, length, heads, D, 3, 1)
    v = _rows(qkv, pair, 0, length, heads, D, 3, 2)
    gradient = _rows(gradient, pair, first, length, heads, D, 1, 0)
    output = _rows(output, pair, first, length, heads, D, 1, 0)
    incoming = load_rows(gradient, channels, left, heads * D, D, C)
    mixed = load_rows(output, channels, left, heads * D, D, C)
    of_tokens = pair.to(tl.int64) * length + first
    inverse = load_vector(inverses + of_tokens, left, 1, C)[:, None]
    sums = tl.sum(incoming.to(tl.float32) * mixed.to(tl.float32), 1)
    token = tl.arange(0, C)
    tl.store(delta + of_tokens + token, sums, mask=token < left)
    result = tl.zeros([C, BD], tl.float32)
    for start in range(0, first + C, C):
        key = _load_features(k + start * stride, length - start, stride, D, BD, C)
        value = load_rows(v + start * stride, channels, length - start, stride, D, C)
        dp = tl.dot(incoming, tl.trans(value), input_precision=DOT)
        ds = _causal((dp - sums[:, None]) * inverse, first - start, C, False)
        result = tl.dot(ds.to(key.dtype), key, result, input_precision=DOT)
    slope = tl.minimum(_load_features(q, left, stride, D, BD, C).to(tl.float32), 1.0)
    dq = _rows(dqkv, pair, first, length, heads, D, 3, 0)
    store_rows(dq, result * slope, channels, left, stride, D, C)


@triton.jit(do_not_specialize=SIZES)
def keys_back(
    qkv, inverses, gradient, delta, dqkv, length, heads,
    D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dk and dv of a block, from its own queries and all later ones."""
    pair, first = _place(length, C)
    channels = tl.arange(0, BD)
    stride = 3 * heads * D
    left = length - first
    q = _rows(qkv, pair, 0, length, heads, D, 3, 0)
    k = _rows(qkv, pair, first, length, heads, D, 3, 1)
    v = _rows(qkv, pair, first, length, heads, D, 3, 2)
    gradient = _rows(gradient, pair, 0, length, heads, D, 1, 0)
    inverses += pair.to(tl.int64) * length
    delta += pair.to(tl.int64) * length
    key = _load_features(k, left, stride, D, BD, C)
    value = load_rows(v, channels, left, stride, D, C)
    of_keys, of_values = tl.zeros([C, BD], tl.float32), tl.zeros([C, BD], tl.float32)
    for start in range(first, length, C):
        query = _load_features(q + start * stride, length - start, stride, D, BD, C)
        here = gradient + start * heads * D
        incoming = load_rows(here, channels, length - start, heads * D, D, C)
        inverse = load_vector(inverses + start, length - start, 1, C)[None, :]
        sums = load_vector(delta + start, length - start, 1, C)[None, :]
        s = tl.dot(key, tl.trans(query), input_precision=DOT)
        p = _causal(s, start - first, C, True) * inverse
        of_values = tl.dot(p.to(incoming.dtype), incoming, of_values, input_precision=DOT)
        dp = tl.dot(value, tl.trans(incoming), input_precision=DOT)
        ds = _causal((dp - sums) * inverse, start - first, C, True)
        of_keys = tl.dot(ds.to(query.dtype), query, of_keys, input_precision=DOT)
    dk = _rows(dqkv, pair, first, length, heads, D, 3, 1)
    store_rows(dk, of_keys * tl.minimum(key.to(tl.float32), 1.0), channels, left, stride, D, C)
    dv = _rows(dqkv, pair, first, length, heads, D, 3, 2)
    store_rows(dv, of_values, channels, left, stride, D, C)
