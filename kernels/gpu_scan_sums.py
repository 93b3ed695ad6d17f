"""Sums over the channels of a warp, of many rows at once."""

import triton
import triton.language as tl


@triton.jit
def lane_sums(row, BE: tl.constexpr):
    """[BE] channels as sums of the few that each thread of a warp holds."""
    if BE == 32:
        return row
    return tl.sum(tl.reshape(row, [32, BE // 32]), 1)


@triton.jit
def stack(rows, LEVELS: tl.constexpr):
    """2^LEVELS rows [32] as the columns of one tile."""
    for level in tl.static_range(LEVELS):
        pairs = ()
        for k in tl.static_range(2 ** (LEVELS - 1 - level)):
            pairs = pairs + (tl.join(rows[k], rows[k + 2 ** (LEVELS - 1 - level)]),)
        rows = pairs
    return tl.reshape(rows[0], [32, 2**LEVELS])


@triton.jit
def sums_of(rows, LEVELS: tl.constexpr):
    """Of each row [32], as one tensor: a product with ones turns the tile in shared memory."""
    ones = tl.full([1, 32], 1.0, tl.float32)
    sums = tl.dot(ones, stack(rows, LEVELS), input_precision="ieee")
    return tl.reshape(sums, [2**LEVELS])
