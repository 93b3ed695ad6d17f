"""Triton kernels of the norms: a tile of whole rows of one head of one member a program.

With r = 1 / √(mean or sum of x² + eps) and s = SiLU(gate), y = x r weight s.
"""

import triton
import triton.language as tl

SIZES = ["rows", "heads"]


@triton.jit
def tile_of(source, member, row, head, column, inside, member_stride, row_stride, head_stride):
    """Rows of one head of one member: [BR, BD] in float32, zeros outside."""
    start = source + member * member_stride + head * head_stride
    at = row[:, None] * row_stride + column[None, :]
    return tl.load(start + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _scale(tile, live, eps, D: tl.constexpr, MEAN: tl.constexpr):
    """r [BR, 1]; finite in rows that do not exist, also where eps is 0."""
    size = tl.sum(tile * tile, 1)
    if MEAN:
        size = size / D
    return tl.rsqrt(tl.where(live, size + eps, 1.0))[:, None]


@triton.jit(do_not_specialize=SIZES)
def normalize_tile(
    x, weight, gate, output, x_member, x_row, x_head, gate_member, gate_row, gate_head,
    rows, heads, eps,
    D: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr, MEAN: tl.constexpr, WEIGHT: tl.constexpr,
    GATE: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    head = (tl.program_id(0) % heads).to(tl.int64)
    row = (tl.program_id(0) // heads).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BD)
    inside = (row < rows)[:, None] & (column < D)[None, :]
    tile = tile_of(x, member, row, head, column, inside, x_member, x_row, x_head)
    result = tile * _scale(tile, row < rows, eps, D, MEAN)
    if WEIGHT:
        scales = tl.load(weight + member * D + column, mask=column < D, other=0.0)
        result *= scales.to(tl.float32)[None, :]
    if GATE:
        gates = tile_of(gate, member, row, head, column, inside, gate_member, gate_row, gate_head)
        result *= gates * tl.sigmoid(gates)
    at = ((member * rows + row) * heads + head)[:, None] * D + column[None, :]
    tl.store(output + at, result.to(output.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def normalize_tile_back(
    x, weight, gate, gradient, dx, dgate, shares,
    x_member, x_row, x_head, gate_member, gate_row, gate_head,
    gradient_member, gradient_row, gradient_head, rows, heads, eps,
    D: tl.constexpr, BR: tl.constexpr, BD: tl.constexpr, MEAN: tl.constexpr, WEIGHT: tl.constexpr,
    GATE: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """All gradients; `shares` [P, programs, D] hold each program's part of the weight's."""
    member = tl.program_id(1).to(tl.int64)
    head = (tl.program_id(0) % heads).to(tl.int64)
    first = (tl.program_id(0) // heads).to(tl.int64) * (BR * STEPS)
    column = tl.arange(0, BD)
    if WEIGHT:
        scales = tl.load(weight + member * D + column, mask=column < D, other=0.0)
        scales = scales.to(tl.float32)[None, :]
        share = tl.zeros([BR, BD], tl.float32)
    steps = tl.minimum(tl.cdiv(rows - first, BR), STEPS).to(tl.int32)
    for step in range(steps):
        row = first + step * BR + tl.arange(0, BR)
        inside = (row < rows)[:, None] & (column < D)[None, :]
        at = ((member * rows + row) * heads + head)[:, None] * D + column[None, :]
        tile = tile_of(x, member, row, head, column, inside, x_member, x_row, x_head)
        of_unit = tile_of(
            gradient, member, row, head, column, inside,
            gradient_member, gradient_row, gradient_head,
        )  # fmt: skip
        scale = _scale(tile, row < rows, eps, D, MEAN)
        unit = tile * scale
        if GATE:
            gates = tile_of(
                gate, member, row, head, column, inside, gate_member, gate_row, gate_head
            )
            opened = tl.sigmoid(gates)
            of_gate = of_unit * unit * opened * (1 + gates * (1 - opened))
            if WEIGHT:
                of_gate *= scales
            tl.store(dgate + at, of_gate.to(dgate.dtype.element_ty), mask=inside)
            of_unit *= gates * opened
        if WEIGHT:
            share += of_unit * unit
            of_unit *= scales
        along = tl.sum(of_unit * unit, 1)[:, None]
        if MEAN:
            along = along / D
        of_x = scale * (of_unit - unit * along)
        tl.store(dx + at, of_x.to(dx.dtype.element_ty), mask=inside)
    if WEIGHT:
        place = (member * tl.num_programs(0) + tl.program_id(0)) * D + column
        tl.store(shares + place, tl.sum(share, 0), mask=column < D)
