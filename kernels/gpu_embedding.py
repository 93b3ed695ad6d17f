"""Triton kernels of the embedding: rows gathered, and their gradients summed in sorted order.

A program belongs to one member and one block of columns, so that no member can spoil another.
"""

import triton
import triton.language as tl

SIZES = ["rows", "vocabulary"]


@triton.jit(do_not_specialize=SIZES)
def gather_rows(
    weight, tokens, output, rows, vocabulary, D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr
):
    """output_n = weight[token_n]; NaN for a token outside of the vocabulary."""
    member = tl.program_id(1).to(tl.int64)
    column = tl.program_id(2) * BD + tl.arange(0, BD)
    live = (column < D)[None, :]
    place = tl.program_id(0) * BN + tl.arange(0, BN)
    inside = place < rows
    at = member * rows + place
    token = tl.load(tokens + at, mask=inside, other=-1)
    known = ((token >= 0) & (token < vocabulary))[:, None]
    source = weight + (member * vocabulary + token)[:, None] * D + column[None, :]
    tile = tl.load(source, mask=known & live, other=float("nan"))
    target = output + at[:, None] * D + column[None, :]
    tl.store(target, tile.to(output.dtype.element_ty), mask=inside[:, None] & live)


@triton.jit(do_not_specialize=SIZES)
def sum_runs(
    values, keys, order, gradient, shares, share_keys, rows,
    D: tl.constexpr, BD: tl.constexpr, R: tl.constexpr, SORTED: tl.constexpr,
):  # fmt: skip
    """Sums R rows by key: keys are sorted, and −1 stands for no row.

    A key whose rows all lie in this block goes to its row of the gradient. The block's first key,
    if rows of it lie before the block, and its last, if rows of it lie behind, go to the block's
    two shares: these are rows again, with sorted keys.
    """
    index = tl.program_id(0)
    member = tl.program_id(1).to(tl.int64)
    column = tl.program_id(2) * BD + tl.arange(0, BD)
    live = (column < D)[None, :]
    begin = index * R
    end = tl.minimum(rows, begin + R)
    keys += member * rows
    place = begin + tl.arange(0, R)
    key = tl.load(keys + place, mask=place < end, other=-1)
    before = tl.load(keys + place - 1, mask=(place > begin) & (place < end), other=-1)
    first = tl.load(keys + begin)
    last = tl.load(keys + end - 1)
    enters = tl.where(tl.load(keys + begin - 1, mask=begin > 0, other=-1) == first, first, -1)
    leaves = tl.where(tl.load(keys + end, mask=end < rows, other=-1) == last, last, -1)

    row = member * rows + place
    if not SORTED:
        row = tl.load(order + row, mask=place < end, other=0)
    source = values + row[:, None] * D + column[None, :]
    tile = tl.load(source, mask=(key >= 0)[:, None] & live, other=0.0)
    same = (key[:, None] == key[None, :]).to(tile.dtype)
    # Exact: the factors are 0 and 1, and float32 products are not rounded to tf32.
    sums = tl.dot(same, tile, input_precision="ieee")

    inner = (key >= 0) & (key != enters) & (key != leaves)
    target = gradient + key[:, None].to(tl.int64) * D + column[None, :]
    mask = (inner & (key != before))[:, None] & live
    tl.store(target, sums.to(gradient.dtype.element_ty), mask=mask)

    share = (member * tl.num_programs(0) + index) * 2
    target = shares + share * D + column[None, :] + tl.zeros([R, 1], tl.int32)
    tl.store(target, sums, mask=((place == begin) & (key == enters) & (key >= 0))[:, None] & live)
    # One key through and through: its sum stands in the first share, and 0 in the second.
    sums = tl.where(enters == leaves, 0.0, sums)
    mask = ((place == end - 1) & (key == leaves) & (key >= 0))[:, None] & live
    tl.store(target + D, sums, mask=mask)
    tl.store(share_keys + share, enters)
    tl.store(share_keys + share + 1, leaves)
