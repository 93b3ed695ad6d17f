"""The quotient in Triton: one pass forward, one backward; only the input is kept.

The kernels are in `lengthwise.kernels.gpu_divide_by_last`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launching
from lengthwise.kernels.gpu_rows import row_tile
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
WIDEST = 4096
NUMBERS = 1024
"""Of a tile."""

OPERATORS.define("divide_by_last_rows(Tensor x, float eps) -> Tensor")
OPERATORS.define("divide_by_last_rows_backward(Tensor x, Tensor gradient, float eps) -> Tensor")


def refusal(x: Tensor, eps: float) -> str | None:  # noqa: ARG001
    """Computes half and single precision on an NVIDIA GPU, up to 4,096 quotients a row."""
    if x.shape[-1] - 1 > WIDEST:
        return f"rows have up to {WIDEST} quotients"
    if not x.numel():
        return "there are no rows"
    return gpu.refusal(x)


def compute(x: Tensor, eps: float) -> Tensor:
    return torch.ops.lengthwise.divide_by_last_rows(x[None], eps).squeeze(0)


def _launch(kernel: Any, x: Tensor, *args: Any) -> None:
    """Launches a kernel for the rows of a tensor [..., V + 1]."""
    size = x.shape[-1] - 1
    count, columns = row_tile(size, NUMBERS)
    rows = x.numel() // (size + 1)
    with launching(x) as launch:
        launch(kernel, ceil_div(rows, count), warps=4)(
            x.contiguous(), *args, rows, V=size, BR=count, BV=columns
        )


def _forward(x: Tensor, eps: float) -> Tensor:
    from lengthwise.kernels.gpu_divide_by_last import quotient_tile

    output = _fake(x, eps)
    _launch(quotient_tile, x, output, eps)
    return output


def _backward(x: Tensor, gradient: Tensor, eps: float) -> Tensor:
    from lengthwise.kernels.gpu_divide_by_last import quotient_tile_back

    dx = x.new_empty(x.shape)
    _launch(quotient_tile_back, x, gradient.contiguous(), dx, eps)
    return dx


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, ctx.eps = inputs
    ctx.save_for_backward(x)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    return torch.ops.lengthwise.divide_by_last_rows_backward(x, gradient, ctx.eps), None


def _fake(x: Tensor, _eps: float) -> Tensor:
    return x.new_empty(*x.shape[:-1], x.shape[-1] - 1)


def _fake_backward(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


register(
    "divide_by_last_rows",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("divide_by_last_rows_backward", _backward, _fake_backward, devices=DEVICES)
