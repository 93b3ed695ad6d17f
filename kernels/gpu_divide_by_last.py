"""Triton kernels of y = x[:V] / d with d = x[V] + eps: some rows [V + 1] a program.

For a gradient g of y, that of x[:V] is g / d and that of x[V] is −Σ g y / d.
"""

import triton
import triton.language as tl


@triton.jit
def _rows(rows, V: tl.constexpr, BR: tl.constexpr, BV: tl.constexpr):
    """The program's rows, which of them exist, its columns, and which numbers exist."""
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BV)[None, :]
    live = row < rows
    return row, live, column, live[:, None] & (column < V)


@triton.jit
def _quotient(x, eps, row, live, column, inside, V: tl.constexpr):
    """y [BR, BV] and 1 / d [BR, 1]."""
    divisor = tl.load(x + row * (V + 1) + V, mask=live, other=1.0).to(tl.float32) + eps
    inverse = (1.0 / divisor)[:, None]
    numbers = tl.load(x + row[:, None] * (V + 1) + column, mask=inside, other=0.0)
    return numbers.to(tl.float32) * inverse, inverse


@triton.jit(do_not_specialize=["rows"])
def quotient_tile(
    x, output, eps, rows, V: tl.constexpr, BR: tl.constexpr, BV: tl.constexpr
):  # fmt: skip
    row, live, column, inside = _rows(rows, V, BR, BV)
    result, _ = _quotient(x, eps, row, live, column, inside, V)
    at = row[:, None] * V + column
    tl.store(output + at, result.to(output.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def quotient_tile_back(
    x, gradient, dx, eps, rows, V: tl.constexpr, BR: tl.constexpr, BV: tl.constexpr
):  # fmt: skip
    row, live, column, inside = _rows(rows, V, BR, BV)
    result, inverse = _quotient(x, eps, row, live, column, inside, V)
    incoming = tl.load(gradient + row[:, None] * V + column, mask=inside, other=0.0).to(tl.float32)
    shares = incoming * inverse
    of_divisor = tl.sum(-shares * result, 1)
    dtype = dx.dtype.element_ty
    tl.store(dx + row[:, None] * (V + 1) + column, shares.to(dtype), mask=inside)
    tl.store(dx + row * (V + 1) + V, of_divisor.to(dtype), mask=live)
