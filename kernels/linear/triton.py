"""The projection by torch's batched product, with gradients in Triton (see `gradients`).

As in the other kernels the operator computes a stack of members.
"""

from typing import Any

import torch
import torch.nn.functional as F
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES
from lengthwise.kernels.linear.gradients import (
    EVEN,
    gradient_of_x,
    in_one_pass,
    in_passes,
    one_pass,
    readable,
    shares,
)
from lengthwise.kernels.members import alone, join, part
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import autocast_dtype
from torch import Tensor

PREFERENCE = 30

OPERATORS.define(
    "stacked_linear_backward(Tensor x, Tensor weight, Tensor factor, Tensor? bias,"
    " Tensor[] gradients, Tensor? onward) -> (Tensor, Tensor, Tensor)"
)


def refusal(x: Tensor, weight: Tensor, bias: Tensor | None, *_: object) -> str | None:
    """Computes half and single precision on an NVIDIA GPU."""
    return gpu.refusal(x, weight, bias)


def compute(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: list[int], onward: bool
) -> tuple[Tensor, ...]:
    x = x.to(autocast_dtype(x.device.type) or x.dtype)
    # The products' own copy of the weight, which serves the backward pass too.
    factor = weight.detach().to(x.dtype)
    if len(sizes) > 1 and weight.shape[0] % EVEN:
        factor = F.pad(factor, (0, 0, 0, -weight.shape[0] % EVEN))
    parts = _Projection.apply(*alone(x, weight, factor, bias), sizes, onward)
    return tuple(each.squeeze(0) for each in parts)


class _Projection(torch.autograd.Function):
    """A stack of products, cut. An operator of torch's library may not return parts of a tensor."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        factor: Tensor,
        bias: Tensor | None,
        sizes: list[int],
        onward: bool,
    ) -> tuple[Tensor, ...]:
        if bias is None:
            output = torch.bmm(x, factor.mT)
        else:
            output = torch.baddbmm(bias.to(x.dtype)[:, None], x, factor.mT)
        padding = factor.shape[1] - weight.shape[1]
        parts = output.split([*sizes, padding], -1)[: len(sizes)]
        return (*parts, x.view_as(x)) if onward else parts

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[:4])
        ctx.onward = inputs[5]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *_, bias = inputs = ctx.saved_tensors
        backward = torch.ops.lengthwise.stacked_linear_backward
        parts, onward = (gradients[:-1], gradients[-1]) if ctx.onward else (gradients, None)
        dx, dweight, dbias = backward(*inputs, list(parts), onward)
        return dx, dweight, None, None if bias is None else dbias, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
        members, (*tensors, sizes, onward) = info.batch_size, args
        stacked = [
            None if each is None else join(each, dim, members)
            for each, dim in zip(tensors, in_dims[:4], strict=True)
        ]
        parts = _Projection.apply(*stacked, sizes, onward)
        return tuple(part(each, members) for each in parts), (0,) * len(parts)


def _backward(
    x: Tensor,
    weight: Tensor,
    factor: Tensor,
    bias: Tensor | None,
    gradients: list[Tensor],
    onward: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    x, gradients = readable(x), [readable(each) for each in gradients]
    parts = None if bias is not None else in_one_pass(x, gradients)
    if parts is not None:
        dx, of_weight = one_pass(x, factor, parts, onward)
        return dx, of_weight.sum(1).to(weight.dtype), weight.new_empty(0)
    columns = in_passes(x, gradients)
    dx = gradient_of_x(columns, factor, onward)
    of_weight, of_bias = shares(x, columns, weight.shape[1], with_bias=bias is not None)
    dweight = of_weight.sum(1).to(weight.dtype)
    return dx, dweight, dweight.new_empty(0) if bias is None else of_bias.sum(1).to(bias.dtype)


def _fake_backward(
    x: Tensor, weight: Tensor, _factor: Tensor, bias: Tensor | None, *_: Any
) -> tuple[Tensor, ...]:
    of_bias = weight.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), of_bias


register("stacked_linear_backward", _backward, _fake_backward, devices=DEVICES)
