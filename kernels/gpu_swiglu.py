"""Triton kernels of the gated product: a tile of rows and columns of one head a program."""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_norm_kernels import SIZES, tile_of


@triton.jit
def _place(rows, heads, D: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr):
    """Where this program's tile lies, and which of its numbers exist."""
    member = tl.program_id(2).to(tl.int64)
    head = (tl.program_id(0) % heads).to(tl.int64)
    row = (tl.program_id(0) // heads).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.program_id(1) * BD + tl.arange(0, BD)
    inside = (row < rows)[:, None] & (column < D)[None, :]
    at = ((member * rows + row) * heads + head)[:, None] * D + column[None, :]
    return member, head, row, column, inside, at


@triton.jit(do_not_specialize=SIZES)
def gate_tile(
    gate, up, output, gate_member, gate_row, gate_head, up_member, up_row, up_head, rows, heads,
    D: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    member, head, row, column, inside, at = _place(rows, heads, D, BR, BD)
    gates = tile_of(gate, member, row, head, column, inside, gate_member, gate_row, gate_head)
    ups = tile_of(up, member, row, head, column, inside, up_member, up_row, up_head)
    result = gates * tl.sigmoid(gates) * ups
    tl.store(output + at, result.to(output.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def gate_tile_back(
    gate, up, gradient, dgate, dup, gate_member, gate_row, gate_head, up_member, up_row, up_head,
    gradient_member, gradient_row, gradient_head, rows, heads,
    D: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    member, head, row, column, inside, at = _place(rows, heads, D, BR, BD)
    gates = tile_of(gate, member, row, head, column, inside, gate_member, gate_row, gate_head)
    ups = tile_of(up, member, row, head, column, inside, up_member, up_row, up_head)
    incoming = tile_of(
        gradient, member, row, head, column, inside, gradient_member, gradient_row, gradient_head
    )
    opened = tl.sigmoid(gates)
    of_gate = incoming * ups * opened * (1 + gates * (1 - opened))
    tl.store(dgate + at, of_gate.to(dgate.dtype.element_ty), mask=inside)
    tl.store(dup + at, (incoming * gates * opened).to(dup.dtype.element_ty), mask=inside)
