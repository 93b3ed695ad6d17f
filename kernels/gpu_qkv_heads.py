"""Triton kernels that cut [q, k, v] into heads of unit length: some rows of a head a program.

With r = 1 / √(Σx² + eps) and u = r x, a gradient g of u becomes r (g − u Σ g u).
"""

import triton
import triton.language as tl


@triton.jit
def _places(rows, H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr):
    """Where a program's q is in [rows, 3·H·K], its head in [rows, H, K], and what exists."""
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)[:, None]
    column = tl.arange(0, BK)[None, :]
    inside = (row < rows) & (column < K)
    channel = tl.program_id(1) * K + column
    return row * (3 * H * K) + channel, row * (H * K) + channel, inside


@triton.jit
def _scale(x, eps, rows, BR: tl.constexpr):
    """r [BR, 1]; finite in rows that do not exist, also where eps is 0."""
    live = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR) < rows
    return tl.rsqrt(tl.where(live, tl.sum(x * x, 1) + eps, 1.0))[:, None]


@triton.jit
def _unit_back(x, gradient, eps, rows, BR: tl.constexpr):
    scale = _scale(x, eps, rows, BR)
    unit = x * scale
    along = tl.expand_dims(tl.sum(gradient * unit, 1), 1)
    return scale * (gradient - unit * along)


@triton.jit
def _load(source, at, inside):
    return tl.load(source + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(target, at, tile, inside):
    tl.store(target + at, tile.to(target.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def heads_tile(
    qkv, q, k, v, eps, rows,
    H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, inside = _places(rows, H, K, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    values = _load(qkv, joint + 2 * H * K, inside)
    _store(q, apart, queries * _scale(queries, eps, rows, BR), inside)
    _store(k, apart, keys * _scale(keys, eps, rows, BR), inside)
    _store(v, apart, values, inside)


@triton.jit(do_not_specialize=["rows"])
def heads_tile_back(
    qkv, dq, dk, dv, dqkv, eps, rows,
    H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, inside = _places(rows, H, K, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    of_queries = _load(dq, apart, inside)
    of_keys = _load(dk, apart, inside)
    values = _load(dv, apart, inside)
    _store(dqkv, joint, _unit_back(queries, of_queries, eps, rows, BR), inside)
    _store(dqkv, joint + H * K, _unit_back(keys, of_keys, eps, rows, BR), inside)
    _store(dqkv, joint + 2 * H * K, values, inside)
