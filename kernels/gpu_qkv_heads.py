"""Triton kernels that cut [q, k, v] into heads and map q and k: some rows of one head a program.

With r = 1 / √(Σx² + eps), the feature maps and, for a gradient g, its way back:

    unit:  u = r x                           r (g − u Σ g u)
    elu:   exp(min(x, 0)) + max(x, 0)        g exp(min(x, 0))
"""

import triton
import triton.language as tl


@triton.jit
def _places(
    rows, H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr
):  # fmt: skip
    """Where a program's q is in [rows, 3·H·K] and its head in [rows, H, K] and [rows, H, V].

    Last, what exists.
    """
    head = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)[:, None]
    column = tl.arange(0, BK)[None, :]
    inside = (row < rows) & (column < K)
    channel = head * K + column
    of_values = row * (H * V) + head * V + column
    return row * (3 * H * K) + channel, row * (H * K) + channel, of_values, inside


@triton.jit
def _scale(x, eps, rows, BR: tl.constexpr):
    """r [BR, 1]; finite in rows that do not exist, also where eps is 0."""
    live = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR) < rows
    return tl.rsqrt(tl.where(live, tl.sum(x * x, 1) + eps, 1.0))[:, None]


@triton.jit
def _map(x, eps, rows, MAP: tl.constexpr, BR: tl.constexpr):
    if MAP == "unit":
        features = x * _scale(x, eps, rows, BR)
    else:
        features = tl.exp(tl.minimum(x, 0.0)) + tl.maximum(x, 0.0)
    return features


@triton.jit
def _map_back(x, gradient, eps, rows, MAP: tl.constexpr, BR: tl.constexpr):
    if MAP == "unit":
        scale = _scale(x, eps, rows, BR)
        unit = x * scale
        along = tl.expand_dims(tl.sum(gradient * unit, 1), 1)
        result = scale * (gradient - unit * along)
    else:
        result = gradient * tl.exp(tl.minimum(x, 0.0))
    return result


@triton.jit
def _load(source, at, inside):
    return tl.load(source + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(target, at, tile, inside):
    tl.store(target + at, tile.to(target.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def heads_tile(
    qkv, q, k, v, eps, rows, MAP: tl.constexpr,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, of_values, inside = _places(rows, H, K, V, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    values = _load(qkv, joint + 2 * H * K, inside)
    _store(q, apart, _map(queries, eps, rows, MAP, BR), inside)
    _store(k, apart, _map(keys, eps, rows, MAP, BR), inside)
    _store(v, of_values, values, inside)
    if V > K:
        row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
        one = tl.full([BR], 1.0, tl.float32)
        _store(v, row * (H * V) + tl.program_id(1) * V + K, one, row < rows)


@triton.jit(do_not_specialize=["rows"])
def heads_tile_back(
    qkv, dq, dk, dv, dqkv, eps, rows, MAP: tl.constexpr,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, of_values, inside = _places(rows, H, K, V, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    of_queries = _load(dq, apart, inside)
    of_keys = _load(dk, apart, inside)
    values = _load(dv, of_values, inside)
    _store(dqkv, joint, _map_back(queries, of_queries, eps, rows, MAP, BR), inside)
    _store(dqkv, joint + H * K, _map_back(keys, of_keys, eps, rows, MAP, BR), inside)
    _store(dqkv, joint + 2 * H * K, values, inside)
