"""The Triton kernel of a projection's gradient: a small matrix that sums over very many rows."""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import load_rows

SIZES = ["rows", "width", "outputs", "span"]


@triton.jit(do_not_specialize=SIZES)
def gradient_of_projection(
    x, gradient, of_weight, of_bias, rows, width, outputs, span,
    x_member, x_row, gradient_member, gradient_row,
    BN: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr, BIAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Shares over `span` rows: gradientᵀ x in of_weight [P, S, O, D], its sum in of_bias."""
    blocks = tl.cdiv(width, BD)
    column = tl.program_id(0) % blocks * BD + tl.arange(0, BD)
    feature = tl.program_id(0) // blocks * BO + tl.arange(0, BO)
    split = tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    x += member * x_member
    gradient += member * gradient_member
    result = tl.zeros([BO, BD], tl.float32)
    total = tl.zeros([BO], tl.float32)
    end = tl.minimum(rows, (split + 1) * span)
    for first in range(split * span, end, BN):
        row = tl.cast(first, tl.int64)
        left = end - first
        tile = load_rows(x + row * x_row, column, left, x_row, width, BN)
        here = gradient + row * gradient_row
        incoming = load_rows(here, feature, left, gradient_row, outputs, BN)
        result = tl.dot(tl.trans(incoming), tile, result, input_precision=DOT)
        if BIAS:
            total += tl.sum(incoming.to(tl.float32), 0)
    place = (member * tl.num_programs(1) + split) * outputs + feature
    inside = (feature < outputs)[:, None] & (column < width)[None, :]
    tl.store(of_weight + place[:, None] * width + column[None, :], result, mask=inside)
    if BIAS:  # column blocks write the same
        tl.store(of_bias + place, total, mask=feature < outputs)
