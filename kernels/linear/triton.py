"""The projection with its weight's gradient in Triton, summed over rows in float32.

Forward and the gradient of x are torch's batched products. The gradient of the weight is a small
matrix that sums over all rows: torch's product gives it to few programs, and reads rows of an
uneven number of channels slowly. Here the rows are split among many, deterministically. As in the
other kernels the operator computes a stack of members; the kernel is in
`lengthwise.kernels.gpu_projection`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, present, register
from lengthwise.kernels.shapes import autocast_dtype, ceil_div
from torch import Tensor

PREFERENCE = 30
ROWS = 64
"""Of the tiles whose product a program adds to its share."""
HALF = (256, 128)
SINGLE = (64, 64)
"""The largest share of the gradient that a program holds: channels in and out."""
PROGRAMS = 528
"""Four a multiprocessor of an H100: the rows are split until there are so many."""

OPERATORS.define("stacked_linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor")
OPERATORS.define(
    "stacked_linear_backward(Tensor x, Tensor weight, Tensor? bias, Tensor gradient)"
    " -> (Tensor, Tensor, Tensor)"
)


def refusal(x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Computes half and single precision on an NVIDIA GPU."""
    return gpu.refusal(x, weight, bias)


def compute(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x = x.to(autocast_dtype(x.device.type) or x.dtype)
    return torch.ops.lengthwise.stacked_linear(*alone(x, weight, bias)).squeeze(0)


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    weight = weight.to(x.dtype).mT
    if bias is None:
        return torch.bmm(x, weight)
    return torch.baddbmm(bias.to(x.dtype)[:, None], x, weight)


def _rows(tensor: Tensor) -> Tensor:
    """The tensor with its columns side by side, as the kernel reads rows."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _backward(
    x: Tensor, weight: Tensor, bias: Tensor | None, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from lengthwise.kernels.gpu_projection import gradient_of_projection

    x, gradient = _rows(x), _rows(gradient)
    members, rows, width = x.shape
    outputs = weight.shape[1]
    largest = SINGLE if x.dtype == torch.float32 else HALF
    columns, features = (
        min(most, block(size)) for most, size in zip(largest, (width, outputs), strict=True)
    )
    tiles = ceil_div(width, columns) * ceil_div(outputs, features)
    steps = ceil_div(rows, ROWS)
    span = ROWS * ceil_div(steps, min(steps, ceil_div(PROGRAMS, tiles * members)))
    of_weight = x.new_empty(members, ceil_div(rows, span), outputs, width, dtype=torch.float32)
    of_bias = of_weight.new_empty(of_weight.shape[:3])
    warps = 8 if columns * features >= 128 * 128 else 4
    exact = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    with launching(x) as launch:
        launch(gradient_of_projection, tiles, of_weight.shape[1], members, warps=warps)(
            x, gradient, of_weight, of_bias, rows, width, outputs, span, *x.stride()[:2],
            *gradient.stride()[:2], BN=ROWS, BD=columns, BO=features, BIAS=bias is not None,
            DOT=exact,
        )  # fmt: skip
    dx = torch.bmm(gradient, weight.to(x.dtype))
    of_weight = of_weight.sum(1).to(weight.dtype)
    return dx, of_weight, of_weight.new_empty(0) if bias is None else of_bias.sum(1).to(bias.dtype)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> Any:
    x, weight, bias = ctx.saved_tensors
    gradients = torch.ops.lengthwise.stacked_linear_backward(x, weight, bias, gradient)
    return tuple(present((x, weight, bias), gradients))


def _fake(x: Tensor, weight: Tensor, _bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:2], weight.shape[1])


def _fake_backward(
    x: Tensor, weight: Tensor, bias: Tensor | None, _gradient: Tensor
) -> tuple[Tensor, ...]:
    of_bias = weight.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), of_bias


register(
    "stacked_linear",
    _project,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("stacked_linear_backward", _backward, _fake_backward, devices=DEVICES)
