"""Device functions of the chunkwise kernels: tiles, and decays inside a chunk.

Tiles are loaded in the orientation their product needs. No product's result is ever transposed
in registers to be the left factor of another: Triton 3.4 to 3.7.0 miscompiles that on Hopper.
"""

import triton
import triton.language as tl

STRONGEST = tl.constexpr(-1e4)
"""exp(−1e4) is 0 in float32 as exp(−∞) is, but −1e4 − (−1e4) is 0 and not NaN."""


@triton.jit
def load_rows(base, columns, left, stride, width, C: tl.constexpr):
    """[C, columns] of a row-major tensor with `left` rows; zeros outside."""
    rows = tl.arange(0, C)
    inside = (rows < left)[:, None] & (columns < width)[None, :]
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
def load_columns(base, columns, left, stride, width: tl.constexpr, C: tl.constexpr):
    """The transpose of `load_rows`: [columns, C]."""
    rows = tl.arange(0, C)
    inside = (columns < width)[:, None] & (rows < left)[None, :]
    return tl.load(base + rows[None, :] * stride + columns[:, None], mask=inside, other=0.0)


@triton.jit
def store_rows(base, tile, columns, left, stride, width: tl.constexpr, C: tl.constexpr):
    rows = tl.arange(0, C)
    inside = (rows < left)[:, None] & (columns < width)[None, :]
    pointers = base + rows[:, None] * stride + columns[None, :]
    tl.store(pointers, tile.to(base.dtype.element_ty), mask=inside)


@triton.jit
def store_columns(base, tile, columns, left, stride, width: tl.constexpr, C: tl.constexpr):
    """Stores the transpose of a tile [columns, C]."""
    rows = tl.arange(0, C)
    inside = (columns < width)[:, None] & (rows < left)[None, :]
    pointers = base + rows[None, :] * stride + columns[:, None]
    tl.store(pointers, tile.to(base.dtype.element_ty), mask=inside)


@triton.jit
def load_vector(base, left, stride, C: tl.constexpr):
    rows = tl.arange(0, C)
    return tl.load(base + rows * stride, mask=rows < left, other=0.0).to(tl.float32)


@triton.jit
def bounded(gate):
    """Log-decays in float64, so that differences of their sums keep float32's precision."""
    gate = gate.to(tl.float64)
    return tl.where(gate < STRONGEST, STRONGEST, gate)


@triton.jit
def halves(cumulative):
    """A float64 as the sum of two float32: differences of both are those of the float64."""
    high = cumulative.to(tl.float32)
    return high, (cumulative - high).to(tl.float32)


@triton.jit
def causal(C: tl.constexpr, STRICT: tl.constexpr, TRANSPOSED: tl.constexpr):
    """Whether position j ≤ i (or j < i): [i, j], or [j, i] when transposed."""
    first = tl.arange(0, C)[:, None]
    second = tl.arange(0, C)[None, :]
    if TRANSPOSED:
        return first < second if STRICT else first <= second
    return first > second if STRICT else first >= second


@triton.jit
def between(cumulative, C: tl.constexpr, GATE: tl.constexpr, TRANSPOSED: tl.constexpr):
    """exp(G_i − G_j) for j ≤ i and 0 elsewhere, masked before it is exponentiated."""
    mask = causal(C, False, TRANSPOSED)
    if GATE == 0:
        return tl.where(mask, 1.0, 0.0)
    high, low = halves(cumulative)
    difference = high[:, None] - high[None, :] + (low[:, None] - low[None, :])
    if TRANSPOSED:
        difference = -difference
    return tl.exp(tl.where(mask, difference, float("-inf")))


@triton.jit
def channel_between(cumulative, C: tl.constexpr, TRANSPOSED: tl.constexpr):
    """`between` a key channel: [C, K] → [C, C, K]."""
    mask = causal(C, False, TRANSPOSED)[:, :, None]
    high, low = halves(cumulative)
    difference = high[:, None, :] - high[None, :, :] + (low[:, None, :] - low[None, :, :])
    if TRANSPOSED:
        difference = -difference
    return tl.exp(tl.where(mask, difference, float("-inf")))


@triton.jit
def channel_scores(
    first, second, gate, left, stride, K: tl.constexpr, C: tl.constexpr, TRANSPOSED: tl.constexpr
):
    """Σ_k q_ik k_jk exp(G_ik − G_jk) for j ≤ i: [i, j], or [j, i] with first = k, second = q."""
    scores = tl.zeros([C, C], tl.float32)
    for start in range(0, K, 16):
        columns = start + tl.arange(0, 16)
        a = load_rows(first, columns, left, stride, K, C).to(tl.float32)
        b = load_rows(second, columns, left, stride, K, C).to(tl.float32)
        gates = bounded(load_rows(gate, columns, left, stride, K, C))
        weights = channel_between(tl.cumsum(gates, 0), C, TRANSPOSED)
        scores += tl.sum(a[:, None, :] * b[None, :, :] * weights, 2)
    return scores
