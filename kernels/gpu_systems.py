"""The triangular system of every chunk of the gated delta rule, inverted: all chunks side by side.

One warp a chunk. It is a launch of its own because a walk would wait for each row of each
inverse in turn, while here thousands of chunks hide each other's latency.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import (
    between,
    bounded,
    causal,
    load_columns,
    load_rows,
    load_vector,
)


@triton.jit(do_not_specialize=["length", "heads"])
def invert_systems(
    k, beta, gate, inverse, length, heads,
    K: tl.constexpr, BK: tl.constexpr, C: tl.constexpr, GATE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(I + A)⁻¹ with A_ij = beta_i exp(G_i − G_j) k_i·k_j below the diagonal: [S, chunks, C, C]."""
    chunk = tl.program_id(0)
    sequence = tl.program_id(1).to(tl.int64)
    left = length - chunk * C
    row = (sequence // heads) * length * heads + sequence % heads + chunk * C * heads
    rows = tl.arange(0, C)
    products = tl.zeros([C, C], tl.float32)
    for start in range(0, K, BK):
        keys = start + tl.arange(0, BK)
        k_tile = load_rows(k + row * K, keys, left, heads * K, K, C)
        k_transposed = load_columns(k + row * K, keys, left, heads * K, K, C)
        products += tl.dot(k_tile, k_transposed, input_precision=DOT)
    cumulative = tl.zeros([C], tl.float64)
    if GATE == 1:
        cumulative = tl.cumsum(bounded(load_vector(gate + row, left, heads, C)), 0)
    strength = load_vector(beta + row, left, heads, C)
    system = strength[:, None] * between(cumulative, C, GATE, False) * products
    solved = invert(tl.where(causal(C, True, False), system, 0.0), C)
    at = (sequence * tl.num_programs(0) + chunk) * C * C
    square = inverse + at + rows[:, None] * C + rows[None, :]
    tl.store(square, solved)


@triton.jit
def invert(A, C: tl.constexpr):
    """(I + A)⁻¹ for a strictly lower triangular A [C, C].

    Forward substitution, row by row, in the diagonal blocks of 16; then two blocks P and R are
    merged: [[P, 0], [−R·A₂₁·P, R]] = X − X·A₂₁·X for X = diag(P, R). A series in powers of A would
    lose all digits for repeated keys with beta = 2, where they grow as 2^C.
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
    if C == 32:
        half = tl.arange(0, C) // 16
        below = tl.where(half[:, None] > half[None, :], A, 0.0)
        product = tl.dot(X, below, input_precision="tf32x3")
        X -= tl.dot(product, X, input_precision="tf32x3")
    return X
