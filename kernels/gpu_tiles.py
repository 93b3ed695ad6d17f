"""Device functions of the chunkwise kernels: tiles, decays inside a chunk, the triangular inverse.

Tiles are loaded in the orientation their product needs. No product's result is ever transposed
in registers to be the left factor of another: Triton 3.4 to 3.7.0 miscompiles that on Hopper.
"""

import triton
import triton.language as tl

STRONGEST = tl.constexpr(-1e4)
"""exp(−1e4) is 0 in float32 as exp(−∞) is, but −1e4 − (−1e4) is 0 and not NaN."""


@triton.jit
def load_rows(base, columns, left, stride, width: tl.constexpr, C: tl.constexpr):
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
def load_vector(base, left, stride, C: tl.constexpr):
    rows = tl.arange(0, C)
    return tl.load(base + rows * stride, mask=rows < left, other=0.0).to(tl.float32)


@triton.jit
def bounded(gate):
    """Log-decays in float64, so that differences of their sums keep float32's precision."""
    gate = gate.to(tl.float64)
    return tl.where(gate < STRONGEST, STRONGEST, gate)


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
    difference = (cumulative[:, None] - cumulative[None, :]).to(tl.float32)
    if TRANSPOSED:
        difference = -difference
    return tl.exp(tl.where(mask, difference, float("-inf")))


@triton.jit
def channel_between(cumulative, C: tl.constexpr, TRANSPOSED: tl.constexpr):
    """`between` a key channel: [C, K] → [C, C, K]."""
    mask = causal(C, False, TRANSPOSED)[:, :, None]
    difference = (cumulative[:, None, :] - cumulative[None, :, :]).to(tl.float32)
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


@triton.jit
def invert(A, C: tl.constexpr, DOT: tl.constexpr):
    """(I + A)⁻¹ for a strictly lower triangular A [C, C].

    Forward substitution, row by row, in the diagonal blocks of 16, all at once; then blocks are
    merged two by two: [[P, 0], [−R·A₂₁·P, R]] = X − X·A₂₁·X for X = diag(P, R). A series in
    powers of A would lose all digits for repeated keys with beta = 2, where they grow as 2^C.
    """
    N: tl.constexpr = C // 16
    row = tl.arange(0, 16)[None, :, None]
    column = tl.arange(0, 16)[None, None, :]
    same = (tl.arange(0, N)[:, None] == tl.arange(0, N)[None, :])[:, None, :, None]
    blocks = tl.sum(tl.where(same, tl.reshape(A, (N, 16, N, 16)), 0.0), 2)
    X = tl.where(row == column, 1.0, 0.0) + tl.zeros([N, 16, 16], tl.float32)
    for i in range(1, 16):
        factors = tl.sum(tl.where(row == i, blocks, 0.0), 1)
        solved = tl.sum(factors[:, :, None] * X, 1)
        X = tl.where(row == i, X - solved[:, None, :], X)
    X = tl.reshape(tl.where(same, X[:, :, None, :], 0.0), (C, C))
    index = tl.arange(0, C)
    if C >= 32:
        X = _merge(X, A, index // 16, index // 32, DOT)
    if C >= 64:
        X = _merge(X, A, index // 32, index // 64, DOT)
    return X


@triton.jit
def _merge(X, A, small, large, DOT: tl.constexpr):
    pair = large[:, None] == large[None, :]
    below = tl.where(pair & (small[:, None] != small[None, :]), A, 0.0)
    return X - tl.dot(tl.dot(X, below, input_precision=DOT), X, input_precision=DOT)
