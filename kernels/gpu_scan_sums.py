"""Sums over the lanes of a warp, of many rows at once."""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_rows import INTERPRETED


@triton.jit
def add_halves(lower, upper, DISTANCE: tl.constexpr):
    """Two rows [32] folded into one: where a lane has the bit DISTANCE, its pair's part of upper.

    Each lane keeps one row, hands the other to the lane that differs from it in that bit, and adds
    what it gets. Triton's own sums take five exchanges a row; so many rows together take one each.
    """
    return tl.inline_asm_elementwise(
        "{ .reg .pred high; .reg .f32 kept, handed; setp.ne.u32 high, $3, 0;"
        " selp.f32 kept, $2, $1, high; selp.f32 handed, $1, $2, high;"
        f" shfl.sync.bfly.b32 handed, handed, {DISTANCE}, 0x1f, 0xffffffff;"
        " add.f32 $0, kept, handed; }",
        "=f,f,f,r",
        [lower, upper, tl.arange(0, 32) & DISTANCE],
        dtype=tl.float32,
        is_pure=True,
        pack=1,
    )


@triton.jit
def sums_of(rows, LEVELS: tl.constexpr):
    """Of each of 2^LEVELS rows [32], at most 32: lane l gets the sum of row l mod 2^LEVELS."""
    if INTERPRETED:
        sums = ()
        for k in tl.static_range(2**LEVELS):
            sums = sums + (tl.sum(rows[k], 0),)
        lane = tl.arange(0, 32) % 2**LEVELS
        total = tl.zeros([32], tl.float32)
        for k in tl.static_range(2**LEVELS):
            total = tl.where(lane == k, sums[k], total)
    else:
        for level in tl.static_range(LEVELS - 1, -1, -1):
            folded = ()
            for k in tl.static_range(2**level):
                folded = folded + (add_halves(rows[k], rows[k + 2**level], 2**level),)
            rows = folded
        for level in tl.static_range(LEVELS, 5):  # fewer rows than lanes: both halves sum the same
            rows = (add_halves(rows[0], rows[0], 2**level),)
        total = rows[0]
    return total
