"""Triton kernels that cut [q, k, v] into heads, q and k as unit vectors: some rows of one head.

With r = 1 / √(Σq² + eps) and u = r q, the gradient of q is r (du − u Σ du u).
"""

import triton
import triton.language as tl


@triton.jit
def _places(rows, H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr):
    """Where a program's q is in [rows, 3·H·K] and its head in [rows, H, K], and what exists."""
    head = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BK)
    inside = (row < rows)[:, None] & (column < K)[None, :]
    channel = head * K + column[None, :]
    return row[:, None] * (3 * H * K) + channel, row[:, None] * (H * K) + channel, inside


@triton.jit
def _unit(x, eps, rows, BR: tl.constexpr):
    """r [BR, 1] and u; finite in rows that do not exist, also where eps is 0."""
    live = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR) < rows
    scale = tl.rsqrt(tl.where(live, tl.sum(x * x, 1) + eps, 1.0))[:, None]
    return scale, x * scale


@triton.jit
def _load(source, at, inside):
    return tl.load(source + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(target, at, tile, inside):
    tl.store(target + at, tile.to(target.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def unit_tile(
    qkv, q, k, v, eps, rows,
    H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, inside = _places(rows, H, K, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    values = _load(qkv, joint + 2 * H * K, inside)
    _store(q, apart, _unit(queries, eps, rows, BR)[1], inside)
    _store(k, apart, _unit(keys, eps, rows, BR)[1], inside)
    _store(v, apart, values, inside)


@triton.jit
def _back(x, of_unit, eps, rows, BR: tl.constexpr):
    scale, unit = _unit(x, eps, rows, BR)
    along = tl.expand_dims(tl.sum(of_unit * unit, 1), 1)
    return scale * (of_unit - unit * along)


@triton.jit(do_not_specialize=["rows"])
def unit_tile_back(
    qkv, dq, dk, dv, dqkv, eps, rows,
    H: tl.constexpr, K: tl.constexpr, BR: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    joint, apart, inside = _places(rows, H, K, BR, BK)
    queries = _load(qkv, joint, inside)
    keys = _load(qkv, joint + H * K, inside)
    of_queries = _load(dq, apart, inside)
    of_keys = _load(dk, apart, inside)
    of_values = _load(dv, apart, inside)
    _store(dqkv, joint, _back(queries, of_queries, eps, rows, BR), inside)
    _store(dqkv, joint + H * K, _back(keys, of_keys, eps, rows, BR), inside)
    _store(dqkv, joint + 2 * H * K, of_values, inside)
