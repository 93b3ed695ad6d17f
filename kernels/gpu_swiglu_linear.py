"""Triton kernels of the gated projection: (SiLU(gate) · up) weightᵀ and its gradients, row by row.

A program holds the weight and walks some rows of one member, so that the gated product and its
gradient live in registers alone. All sizes are constants: loads are then as wide as they can be.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import load_rows, store_rows

SIZES = ["rows", "span"]


@triton.jit(do_not_specialize=SIZES)
def project_rows(
    gate, up, factor, output, rows, span, gate_member, up_member,
    GATE_ROW: tl.constexpr, UP_ROW: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
    OUT: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    gate += member * gate_member
    up += member * up_member
    output += member * rows * OUT
    column, feature = tl.arange(0, BD), tl.arange(0, BO)
    weight = load_rows(factor + member * OUT * D, column, OUT, D, D, BO)
    begin = tl.program_id(0) * span
    end = tl.minimum(rows, begin + span)
    for first in range(begin, end, BN):
        row = tl.cast(first, tl.int64)
        left = end - first
        gates = load_rows(gate + row * GATE_ROW, column, left, GATE_ROW, D, BN).to(tl.float32)
        ups = load_rows(up + row * UP_ROW, column, left, UP_ROW, D, BN).to(tl.float32)
        product = (gates * tl.sigmoid(gates) * ups).to(factor.dtype.element_ty)
        result = tl.dot(product, tl.trans(weight))
        store_rows(output + row * OUT, result, feature, left, OUT, OUT, BN)


@triton.jit(do_not_specialize=SIZES)
def project_rows_back(
    gate, up, factor, gradient, dgate, dup, of_weight, rows, span,
    gate_member, up_member, gradient_member,
    GATE_ROW: tl.constexpr, UP_ROW: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
    OUT: tl.constexpr, BO: tl.constexpr, BN: tl.constexpr, GRADIENT_ROW: tl.constexpr,
):  # fmt: skip
    """dgate, dup, and shares of the weight's gradient in of_weight [P, S, OUT, D]."""
    member = tl.program_id(1).to(tl.int64)
    gate += member * gate_member
    up += member * up_member
    gradient += member * gradient_member
    dgate += member * rows * D
    dup += member * rows * D
    column, feature = tl.arange(0, BD), tl.arange(0, BO)
    weight = load_rows(factor + member * OUT * D, column, OUT, D, D, BO)
    share = tl.zeros([BO, BD], tl.float32)
    begin = tl.program_id(0) * span
    end = tl.minimum(rows, begin + span)
    for first in range(begin, end, BN):
        row = tl.cast(first, tl.int64)
        left = end - first
        here = gradient + row * GRADIENT_ROW
        incoming = load_rows(here, feature, left, GRADIENT_ROW, OUT, BN)
        gates = load_rows(gate + row * GATE_ROW, column, left, GATE_ROW, D, BN).to(tl.float32)
        ups = load_rows(up + row * UP_ROW, column, left, UP_ROW, D, BN).to(tl.float32)
        of_product = tl.dot(incoming, weight)
        opened = tl.sigmoid(gates)
        activated = gates * opened
        product = (activated * ups).to(factor.dtype.element_ty)
        share = tl.dot(tl.trans(incoming), product, share)
        of_gate = of_product * ups * opened * (1 + gates * (1 - opened))
        store_rows(dgate + row * D, of_gate, column, left, D, D, BN)
        store_rows(dup + row * D, of_product * activated, column, left, D, D, BN)
    place = member * tl.num_programs(0) + tl.program_id(0)
    store_rows(of_weight + place * OUT * D, share, column, OUT, D, D, BO)
