"""Triton kernels of a projection's gradients: a small matrix that sums over very many rows."""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import load_rows, store_rows

SIZES = ["rows", "width", "outputs", "total", "span"]


@triton.jit(do_not_specialize=SIZES)
def gradient_of_projection(
    x, gradient, of_weight, of_bias, rows, width, outputs, total, span,
    x_member, x_row, gradient_member, gradient_row,
    BN: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr, BIAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Shares over `span` rows: gradientᵀ x, its sum in of_bias.

    They are `outputs` of the `total` rows of of_weight [P, S, total, D], which begins with them.
    """
    blocks = tl.cdiv(width, BD)
    column = tl.program_id(0) % blocks * BD + tl.arange(0, BD)
    feature = tl.program_id(0) // blocks * BO + tl.arange(0, BO)
    split = tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    x += member * x_member
    gradient += member * gradient_member
    result = tl.zeros([BO, BD], tl.float32)
    of_feature = tl.zeros([BO], tl.float32)
    end = tl.minimum(rows, (split + 1) * span)
    for first in range(split * span, end, BN):
        row = tl.cast(first, tl.int64)
        left = end - first
        tile = load_rows(x + row * x_row, column, left, x_row, width, BN)
        here = gradient + row * gradient_row
        incoming = load_rows(here, feature, left, gradient_row, outputs, BN)
        result = tl.dot(tl.trans(incoming), tile, result, input_precision=DOT)
        if BIAS:
            of_feature += tl.sum(incoming.to(tl.float32), 0)
    place = (member * tl.num_programs(1) + split) * total + feature
    inside = (feature < outputs)[:, None] & (column < width)[None, :]
    tl.store(of_weight + place[:, None] * width + column[None, :], result, mask=inside)
    if BIAS:  # column blocks write the same
        tl.store(of_bias + place, of_feature, mask=feature < outputs)


@triton.jit
def _factor(factor, start, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr, B: tl.constexpr):
    """C rows of the weight from `start` on: [B, BD]."""
    return load_rows(factor + start * D, tl.arange(0, BD), C, D, D, B)


@triton.jit
def _part(
    part, row, left, weight, tile, dx, share,
    STRIDE: tl.constexpr, C: tl.constexpr, B: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """dx and the share of the weight's gradient with those of C columns in them."""
    incoming = load_rows(part + row * STRIDE, tl.arange(0, B), left, STRIDE, C, BN)
    return tl.dot(incoming, weight, dx), tl.dot(tl.trans(incoming), tile, share)


@triton.jit(do_not_specialize=["rows", "span"])
def gradients_of_projection(
    x, factor, part0, part1, part2, part3, onward, dx, of_weight, rows, span,
    x_member, factor_member, member0, member1, member2, member3,
    X_ROW: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
    STRIDE0: tl.constexpr, STRIDE1: tl.constexpr, STRIDE2: tl.constexpr, STRIDE3: tl.constexpr,
    C0: tl.constexpr, C1: tl.constexpr, C2: tl.constexpr, C3: tl.constexpr,
    B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr, B3: tl.constexpr,
):  # fmt: skip
    """dx, with `onward` [P, N, D] added, and shares of the weight's gradient over `span` rows.

    Those are of_weight [P, S, O, D].

    The incoming gradient [N, O] is given in up to four parts of C columns, all of which a program
    reads once for both. All sizes are constants: loads are then as wide as they can be.
    """
    member = tl.program_id(1).to(tl.int64)
    x += member * x_member
    factor += member * factor_member
    dx += member * rows * D
    if onward is not None:
        onward += member * rows * D
    part0 += member * member0
    weight0 = _factor(factor, 0, D, BD, C0, B0)
    share0 = tl.zeros([B0, BD], tl.float32)
    if C1 > 0:
        part1 += member * member1
        weight1 = _factor(factor, C0, D, BD, C1, B1)
        share1 = tl.zeros([B1, BD], tl.float32)
    if C2 > 0:
        part2 += member * member2
        weight2 = _factor(factor, C0 + C1, D, BD, C2, B2)
        share2 = tl.zeros([B2, BD], tl.float32)
    if C3 > 0:
        part3 += member * member3
        weight3 = _factor(factor, C0 + C1 + C2, D, BD, C3, B3)
        share3 = tl.zeros([B3, BD], tl.float32)
    column = tl.arange(0, BD)
    begin = tl.program_id(0) * span
    end = tl.minimum(rows, begin + span)
    for first in range(begin, end, BN):
        row = tl.cast(first, tl.int64)
        left = end - first
        tile = load_rows(x + row * X_ROW, column, left, X_ROW, D, BN)
        sums = tl.zeros([BN, BD], tl.float32)
        if onward is not None:
            sums += load_rows(onward + row * D, column, left, D, D, BN).to(tl.float32)
        sums, share0 = _part(part0, row, left, weight0, tile, sums, share0, STRIDE0, C0, B0, BN)
        if C1 > 0:
            sums, share1 = _part(part1, row, left, weight1, tile, sums, share1, STRIDE1, C1, B1, BN)
        if C2 > 0:
            sums, share2 = _part(part2, row, left, weight2, tile, sums, share2, STRIDE2, C2, B2, BN)
        if C3 > 0:
            sums, share3 = _part(part3, row, left, weight3, tile, sums, share3, STRIDE3, C3, B3, BN)
        store_rows(dx + row * D, sums, column, left, D, D, BN)
    place = member * tl.num_programs(0) + tl.program_id(0)
    of_weight += place * (C0 + C1 + C2 + C3) * D
    store_rows(of_weight, share0, column, C0, D, D, B0)
    if C1 > 0:
        store_rows(of_weight + C0 * D, share1, column, C1, D, D, B1)
    if C2 > 0:
        store_rows(of_weight + (C0 + C1) * D, share2, column, C2, D, D, B2)
    if C3 > 0:
        store_rows(of_weight + (C0 + C1 + C2) * D, share3, column, C3, D, D, B3)
