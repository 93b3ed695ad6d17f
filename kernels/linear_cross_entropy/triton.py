"""The loss in Triton: the logits are formed three times and never stored.

As in the other kernels the operator computes a stack of members, each with its own head. The
kernels are in `lengthwise.kernels.gpu_cross_entropy`; docs/kernels-triton.md has the mathematics.
"""

from dataclasses import dataclass
from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.registration import OPERATORS, contiguous, register
from lengthwise.kernels.shapes import autocast_dtype, ceil_div
from torch import Tensor

PREFERENCE = 30
WIDEST = 512
PROGRAMS = 264
"""Two a multiprocessor of an H100: the rows are split until the gradient of weight has as many."""

OPERATORS.define(
    "linear_cross_entropy_tiles(Tensor x, Tensor weight, Tensor answers) -> (Tensor, Tensor)"
)
OPERATORS.define(
    "linear_cross_entropy_tiles_backward(Tensor x, Tensor weight, Tensor answers, Tensor lse,"
    " Tensor gradient) -> (Tensor, Tensor)"
)


@dataclass(frozen=True)
class Tile:
    """Rows and tokens of the logits that a program holds at once, and how it runs."""

    rows: int
    tokens: int
    warps: int
    stages: int


@dataclass(frozen=True)
class Tiles:
    """Of the losses, of the gradient of x, and of the gradient of weight."""

    losses: Tile
    x: Tile
    weight: Tile
    dot: str = "tf32"
    """How float32 is multiplied; half precision always exactly."""


HALF = {
    64: Tiles(Tile(128, 128, 8, 3), Tile(128, 64, 8, 3), Tile(128, 64, 8, 3)),
    128: Tiles(Tile(128, 64, 8, 2), Tile(128, 64, 8, 2), Tile(128, 64, 8, 2)),
    256: Tiles(Tile(64, 64, 4, 2), Tile(64, 64, 8, 2), Tile(64, 64, 8, 2)),
    512: Tiles(Tile(64, 32, 8, 2), Tile(64, 32, 8, 2), Tile(64, 32, 8, 2)),
}
SINGLE = {
    64: Tiles(Tile(64, 64, 4, 2), Tile(64, 32, 4, 2), Tile(64, 32, 4, 2), "tf32x3"),
    512: Tiles(Tile(32, 16, 8, 1), Tile(16, 16, 8, 1), Tile(16, 16, 8, 1), "ieee"),
}
"""By the largest width they serve, at which none of their programs spills a register.

A wide tile in float32 leaves no room for the three parts of tf32x3.
"""


def refusal(x: Tensor, weight: Tensor, answers: Tensor) -> str | None:  # noqa: ARG001
    """Computes half and single precision on an NVIDIA GPU, up to 512 channels."""
    if x.shape[-1] > WIDEST:
        return f"x has up to {WIDEST} channels"
    return gpu.refusal(x, weight)


def compute(x: Tensor, weight: Tensor, answers: Tensor) -> Tensor:
    x = x.to(autocast_dtype(x.device.type) or x.dtype)
    members = x[None], weight[None], answers[None]
    return torch.ops.lengthwise.linear_cross_entropy_tiles(*members)[0].squeeze(0)


def _tiles(x: Tensor) -> Tiles:
    table = SINGLE if x.dtype == torch.float32 else HALF
    return next(tiles for width, tiles in table.items() if x.shape[-1] <= width)


def _constants(x: Tensor, tile: Tile) -> dict[str, Any]:
    width = x.shape[-1]
    dot = _tiles(x).dot
    return {"D": width, "BD": block(width), "BN": tile.rows, "BV": tile.tokens, "DOT": dot}


def _forward(x: Tensor, weight: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_cross_entropy import losses_of_rows

    members, rows, _ = x.shape
    vocabulary = weight.shape[1]
    losses, lse = _fake(x)
    tile = _tiles(x).losses
    grid = ceil_div(rows, tile.rows), members
    with launching(x) as launch:
        launch(losses_of_rows, *grid, warps=tile.warps, stages=tile.stages)(
            *contiguous(x, weight.to(x.dtype), answers), losses, lse, rows, vocabulary,
            **_constants(x, tile), EVEN=vocabulary % tile.tokens == 0,
        )  # fmt: skip
    return losses, lse


def _backward(
    x: Tensor, weight: Tensor, answers: Tensor, lse: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_cross_entropy import gradient_of_rows, gradient_of_weight

    inputs = contiguous(x, weight.to(x.dtype), answers, lse, gradient)
    members, rows, _ = x.shape
    vocabulary = weight.shape[1]
    of_x, of_weight = _tiles(x).x, _tiles(x).weight
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    blocks = ceil_div(vocabulary, of_weight.tokens)
    span = _span(rows, of_weight.rows, blocks * members)
    splits = ceil_div(rows, span)
    shares = weight.new_empty(
        (members, splits, *weight.shape[1:]), dtype=weight.dtype if splits == 1 else torch.float32
    )
    with launching(x) as launch:
        grid = ceil_div(rows, of_x.rows), members
        launch(gradient_of_rows, *grid, warps=of_x.warps, stages=of_x.stages)(
            *inputs, dx, rows, vocabulary,
            **_constants(x, of_x), EVEN=vocabulary % of_x.tokens == 0,
        )  # fmt: skip
        grid = blocks, splits, members
        launch(gradient_of_weight, *grid, warps=of_weight.warps, stages=of_weight.stages)(
            *inputs, shares, rows, vocabulary, span, **_constants(x, of_weight)
        )
    return dx, shares.squeeze(1) if splits == 1 else shares.sum(1).to(weight.dtype)


def _span(rows: int, step: int, programs: int) -> int:
    """Rows of a share of the gradient of weight, so that its programs are PROGRAMS or more."""
    steps = ceil_div(rows, step)
    return step * ceil_div(steps, min(steps, ceil_div(PROGRAMS, programs)))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: Any, gradient: Tensor, _lse: Tensor | None) -> Any:
    backward = torch.ops.lengthwise.linear_cross_entropy_tiles_backward
    return *backward(*ctx.saved_tensors, gradient), None


def _fake(x: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    shape = x.shape[:2]
    return x.new_empty(shape, dtype=torch.float32), x.new_empty(shape, dtype=torch.float32)


def _fake_backward(x: Tensor, weight: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


register(
    "linear_cross_entropy_tiles",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("linear_cross_entropy_tiles_backward", _backward, _fake_backward, devices=DEVICES)
