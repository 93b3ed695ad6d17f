"""The triangular system of every chunk of the gated delta rule, inverted: all chunks side by side.

One warp a chunk: diagonal blocks of 16 by substitution, then two blocks P and R are merged into
[[P, 0], [−R·A₂₁·P, R]]. It is a launch of its own because a walk
would wait for each row of each inverse in turn, while here thousands of chunks hide each other's
latency.
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

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


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
    system = tl.where(causal(C, True, False), system, 0.0)
    here = inverse + (sequence * tl.num_programs(0) + chunk) * C * C
    square = here + rows[:, None] * C + rows[None, :]
    tl.store(square, system)
    tl.debug_barrier()
    solved = _inverse_blocks(here, C)
    tl.debug_barrier()
    for i in tl.static_range(16):
        below = here + (rows // 16 * 16 + i) * C + rows
        tl.store(below, solved[i])
    if C == 32:
        tl.debug_barrier()
        block = here + tl.arange(0, 16)[:, None] * C + tl.arange(0, 16)[None, :]
        below = block + 16 * C
        product = tl.dot(tl.load(below + 16), tl.load(below), input_precision="tf32x3")
        tl.store(below, -tl.dot(product, tl.load(block), input_precision="tf32x3"))


@triton.jit
def _inverse_blocks(system, C: tl.constexpr):
    """(I + A)⁻¹ of the diagonal blocks of 16 of a strictly lower triangular A [C, C] in memory.

    A tuple of 16 rows [C], row i of every block side by side, by forward substitution: a series in
    powers of A would lose all digits for repeated keys with beta = 2, where they grow as 2^C.
    """
    columns = tl.arange(0, C)
    blocks = system + columns // 16 * (16 * C + 16)
    solved = ()
    for i in tl.static_range(16):
        row = tl.where(columns % 16 == i, 1.0, 0.0)
        for j in tl.static_range(i):
            row -= _read(blocks + (i * C + j)) * solved[j]
        solved += (row,)
    return solved


@triton.jit
def _read(place):
    """A load for whose width Triton makes no plan, which takes it a second for all 120."""
    if INTERPRETED:
        number = tl.load(place)
    else:
        number = tl.inline_asm_elementwise(
            "ld.global.f32 $0, [$1];",
            "=f,l",
            [place.to(tl.int64)],
            dtype=tl.float32,
            is_pure=False,
            pack=1,
        )
    return number
