"""The gradients of a projection on a GPU: of x, and of the weight as shares over some rows each.

The gradient of the weight is a small matrix that sums over all rows: torch's product gives it to
few programs. Here the rows are split among many, deterministically. In half precision and up to
128 channels one pass over the incoming gradient serves both; otherwise that of x is torch's
product. The gradients of parts are read where they lie, as far as that pays. The kernels are in
`lengthwise.kernels.gpu_projection`.
"""

from collections.abc import Callable
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import torch
from lengthwise.kernels.gpu import block, launching
from lengthwise.kernels.registration import contiguous
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

ROWS = 64
"""Of the tiles whose product a program adds to its share."""
HALF = (256, 128)
SINGLE = (64, 64)
"""The largest share of the gradient that a program holds: channels in and out."""
PROGRAMS = 528
"""Four a multiprocessor of an H100: the rows are split until there are so many."""
EVEN = 16
"""Numbers, of which a row of parts holds a multiple: a GPU reads uneven rows at half speed."""
WIDEST = 128
"""Channels of x, and of a part as the one pass takes it."""
PARTS = 4
"""That it takes."""
LARGEST = 20_480
"""Numbers of its share, at most; from half of them to the largest, eight warps hold it."""
MULTIPROCESSORS = 132
"""Of an H100: each runs one program of eight warps or two of four."""


class Columns(NamedTuple):
    """Some columns of the output's gradient [P, N, ·], side by side, and the first one's number."""

    gradient: Tensor
    start: int

    @property
    def size(self) -> int:
        return self.gradient.shape[-1]


def readable(tensor: Tensor) -> Tensor:
    """The tensor with its columns side by side, as the kernels read rows."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def in_one_pass(x: Tensor, gradients: list[Tensor]) -> list[Columns] | None:
    """All columns in parts as the one pass takes them, or None where it cannot be."""
    if x.dtype == torch.float32 or x.shape[-1] > WIDEST:
        return None
    # A row of one number is too short to be loaded ahead.
    runs = _runs(gradients, lambda size: size % 2 == 0)
    blocks = [min(WIDEST, size - at) for size in map(_size, runs) for at in range(0, size, WIDEST)]
    if len(blocks) > PARTS or sum(map(block, blocks)) * block(x.shape[-1]) > LARGEST:
        return None
    return [
        Columns(each.gradient[..., at : at + WIDEST], each.start + at)
        for each in _joined(runs)
        for at in range(0, each.size, WIDEST)
    ]


def in_passes(x: Tensor, gradients: list[Tensor]) -> list[Columns]:
    """All columns, with as little copied as pays.

    A part read where it lies costs another pass over the gradient of x; joining it to its
    neighbours costs a pass over itself.
    """
    return _joined(_runs(gradients, lambda size: size >= x.shape[-1]))


def _runs(gradients: list[Tensor], stays: Callable[[int], bool]) -> list[list[Tensor]]:
    """Neighbours to be joined; what stays where it lies is alone."""
    found: list[list[Tensor]] = []
    for alone, group in groupby(gradients, lambda each: stays(each.shape[-1])):
        run = list(group)
        found += [[each] for each in run] if alone else [run]
    return found


def _size(run: list[Tensor]) -> int:
    return sum(each.shape[-1] for each in run)


def _joined(runs: list[list[Tensor]]) -> list[Columns]:
    starts = accumulate(map(_size, runs), initial=0)
    return [Columns(_side_by_side(run), start) for run, start in zip(runs, starts, strict=False)]


def _side_by_side(run: list[Tensor]) -> Tensor:
    """The parts in one tensor with even rows; one part as it is."""
    if len(run) == 1:
        return run[0]
    size = _size(run)
    joined = run[0].new_empty(*run[0].shape[:2], size + -size % EVEN)[..., :size]
    for place, each in zip(joined.split([each.shape[-1] for each in run], -1), run, strict=True):
        place.copy_(each)
    return joined


def one_pass(
    x: Tensor, factor: Tensor, parts: list[Columns], onward: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradient of x, `onward` added to it, and shares [P, S, O, D] of that of the weight."""
    from lengthwise.kernels.gpu_projection import gradients_of_projection

    members, rows, width = x.shape
    factor = factor.contiguous()
    across = block(width)
    warps = 8 if 2 * across * sum(block(each.size) for each in parts) > LARGEST else 4
    wanted = max(1, MULTIPROCESSORS * 8 // (warps * members))
    span = ROWS * ceil_div(ceil_div(rows, ROWS), wanted)
    splits, outputs = ceil_div(rows, span), sum(each.size for each in parts)
    dx = x.new_empty(x.shape)
    of_weight = x.new_empty(members, splits, outputs, width, dtype=torch.float32)
    gradients = [each.gradient for each in parts]
    absent = PARTS - len(parts)
    constants: dict[str, Any] = {"X_ROW": x.stride(1), "D": width, "BD": across, "BN": ROWS}
    for name, numbers in (
        ("STRIDE", [each.stride(1) for each in gradients]),
        ("C", [each.size for each in parts]),
        ("B", [block(each.size) for each in parts]),
    ):
        constants |= {f"{name}{n}": each for n, each in enumerate(numbers + [0] * absent)}
    with launching(x) as launch:
        launch(gradients_of_projection, splits, members, warps=warps)(
            x, factor, *gradients, *[None] * absent, *contiguous(onward), dx, of_weight, rows, span,
            x.stride(0), factor.stride(0), *[each.stride(0) for each in gradients], *[0] * absent,
            **constants,
        )  # fmt: skip
    return dx, of_weight


def gradient_of_x(columns: list[Columns], factor: Tensor, onward: Tensor | None) -> Tensor:
    """Σ gradient · rows of the weight, and `onward` added to it."""
    (first, rows), *others = (
        (each.gradient, factor.narrow(1, each.start, each.size)) for each in columns
    )
    dx = torch.bmm(first, rows) if onward is None else torch.baddbmm(onward, first, rows)
    for gradient, rows in others:
        dx.baddbmm_(gradient, rows)
    return dx


def shares(
    x: Tensor, columns: list[Columns], outputs: int, *, with_bias: bool
) -> tuple[Tensor, Tensor]:
    """Of the gradients of weight [P, S, O, D] and bias [P, S, O]."""
    from lengthwise.kernels.gpu_projection import gradient_of_projection

    members, rows, width = x.shape
    widest, highest = SINGLE if x.dtype == torch.float32 else HALF
    across = min(widest, block(width))
    along = [min(highest, block(each.size)) for each in columns]
    tiles = [
        ceil_div(width, across) * ceil_div(each.size, features)
        for each, features in zip(columns, along, strict=True)
    ]
    steps = ceil_div(rows, ROWS)
    span = ROWS * ceil_div(steps, min(steps, ceil_div(PROGRAMS, sum(tiles) * members)))
    of_weight = x.new_empty(members, ceil_div(rows, span), outputs, width, dtype=torch.float32)
    of_bias = of_weight.new_empty(of_weight.shape[:3])
    exact = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    with launching(x) as launch:
        for each, features, programs in zip(columns, along, tiles, strict=True):
            warps = 8 if across * features >= 128 * 128 else 4
            launch(gradient_of_projection, programs, of_weight.shape[1], members, warps=warps)(
                x, each.gradient, of_weight[:, :, each.start :], of_bias[:, :, each.start :],
                rows, width, each.size, outputs, span, *x.stride()[:2],
                *each.gradient.stride()[:2], BN=ROWS, BD=across, BO=features, BIAS=with_bias,
                DOT=exact,
            )  # fmt: skip
    return of_weight, of_bias
