"""Parameters of all members by name, cut from the rows of one matrix, and their joint gradient."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

LARGE = 2**16
"""Numbers of a piece that is a view of the matrix, whatever its members' distance."""


class Pieces:
    """How the rows [P, N] are cut.

    A large piece is a view. All small ones are gathered in one pass, so that each is contiguous:
    apart, every operator that wants it so would copy it. The gradients of the small ones are joined
    by themselves: a joint with the large ones takes each piece for as large as the largest.
    """

    def __init__(self, members: int, sizes: Sequence[int], device: torch.device) -> None:
        self.members, self.sizes = members, sizes
        starts = list(accumulate(sizes, initial=0))
        self.large = [
            (start, size) for start, size in zip(starts, sizes, strict=False) if size >= LARGE
        ]
        rows = starts[-1] * torch.arange(members)[:, None]
        small = [
            (rows + torch.arange(start, start + size)).flatten()
            for start, size in zip(starts, sizes, strict=False)
            if size < LARGE
        ]
        self.places = torch.cat([*small, torch.empty(0, dtype=torch.long)]).to(device)
        """Where the numbers of the small pieces are in the matrix."""

    def cut(self, flat: Tensor) -> Sequence[Tensor]:
        """[P, size] for every piece, in order."""
        return _Cut.apply(flat, self)


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, pieces: Pieces) -> tuple[Tensor, ...]:
        ctx.pieces = pieces
        small = flat.flatten().index_select(0, pieces.places)
        gathered = iter(
            small.split([pieces.members * size for size in pieces.sizes if size < LARGE])
        )
        large = iter(flat.narrow(1, *each) for each in pieces.large)
        return tuple(
            next(large) if size >= LARGE else next(gathered).view(pieces.members, size)
            for size in pieces.sizes
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        pieces: Pieces = ctx.pieces
        joined = gradients[0].new_empty(pieces.members, sum(pieces.sizes))
        small = [each.flatten() for each in gradients if each.shape[1] < LARGE]
        if small:
            joined.view(-1).index_copy_(0, pieces.places, torch.cat(small))
        large = [each for each in gradients if each.shape[1] >= LARGE]
        for place, gradient in zip(pieces.large, large, strict=True):
            joined.narrow(1, *place).copy_(gradient)
        return joined, None
