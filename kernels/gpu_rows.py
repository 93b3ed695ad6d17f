"""Rows as the Triton kernels read them: where each starts in memory, and how many a program takes.

A program takes rows of one head of one member, so that their distance is one number, also where q
is a part of [B, T, 3·H·K]: such views are read in place.
"""

from dataclasses import dataclass

from lengthwise.kernels.gpu import block
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """A stack of members' rows [P, …, D] as [P, N, H, D]; H is 1 below [P, B, T, H, D]."""

    tensor: Tensor
    strides: tuple[int, int, int]
    """Numbers between members, rows and heads; where there is one, 0: it spoils no alignment."""

    @property
    def count(self) -> int:
        """N, the rows of one head of one member."""
        return self.tensor.shape[1]

    @property
    def heads(self) -> int:
        return self.tensor.shape[2]

    def grid(self, rows: int) -> tuple[int, int]:
        """Programs for all heads of a member with so many rows each, and members."""
        return ceil_div(self.count, rows) * self.heads, self.tensor.shape[0]


def by_rows(x: Tensor) -> Rows:
    """Looks at x [P, …, D] as rows, without a copy where their distances are constant.

    >>> import torch
    >>> q, _, _ = torch.zeros(1, 2, 5, 3 * 4 * 8).chunk(3, -1)
    >>> by_rows(q.unflatten(-1, (4, 8))).strides
    (0, 96, 8)
    """
    heads = x.shape[-2] if x.dim() > 4 else 1
    rows = x.reshape(x.shape[0], -1, heads, x.shape[-1])
    if rows.stride(-1) != 1:
        rows = rows.contiguous()
    members, between, heads_apart = (
        stride if size > 1 else 0
        for size, stride in zip(rows.shape[:3], rows.stride()[:3], strict=True)
    )
    return Rows(rows, (members, between, heads_apart))


def row_tile(size: int, numbers: int) -> tuple[int, int]:
    """Rows and columns of a tile of about so many numbers that holds whole rows.

    >>> row_tile(50, 4096), row_tile(3000, 2048)
    ((64, 64), (1, 4096))
    """
    columns = block(size)
    return max(1, numbers // columns), columns
