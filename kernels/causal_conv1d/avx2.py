"""The causal convolution in C++ for processors with AVX2 and FMA: float32, forward and backward.

One pass over x where torch operations take one or two a tap. As in the selective scan, the
operator computes a stack of members in one call.
"""

from typing import Any

import torch
import torch.nn.functional as F
from lengthwise.kernels import native
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, register
from torch import Tensor

PREFERENCE = 20

OPERATORS.define(
    "causal_conv1d(Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state) -> Tensor"
)
OPERATORS.define(
    "causal_conv1d_backward(Tensor x, Tensor weight, Tensor? initial_state, Tensor gradient)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


def refusal(*args: Any) -> str | None:
    """Computes half and single precision on a CPU with AVX2 where the library was built."""
    return native.refusal(*args[:-1])


def compute(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    batch, length, channels = x.shape
    kept = weight.shape[-1] - 1
    members = alone(*native.floats(x, weight, bias, initial_state))
    output = torch.ops.lengthwise.causal_conv1d(*members)[0]
    if activation == "silu":
        output = F.silu(output)
    if initial_state is None:
        initial_state = x.new_zeros(batch, channels, kept)
    recent = torch.cat([initial_state.mT.to(x.dtype), x[:, max(0, length - kept) :]], 1)
    return output.to(x.dtype), recent[:, recent.shape[1] - kept :].mT


def _sizes(x: Tensor, weight: Tensor) -> list[int]:
    return [*x.shape, weight.shape[-1]]


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> Tensor:
    output = x.new_empty(x.shape)
    inputs = contiguous(x, weight, bias, initial_state)
    native.call("lengthwise_causal_conv1d", _sizes(x, weight), [*inputs, output])
    return output


def _backward(
    x: Tensor, weight: Tensor, initial_state: Tensor | None, gradient: Tensor
) -> tuple[Tensor, ...]:
    members, batch, _, channels = x.shape
    width = weight.shape[-1]
    inputs = contiguous(x, weight, initial_state, gradient)
    room = [
        x.new_empty(shape)
        for shape in (
            x.shape,
            (members, batch, channels, width),
            (members, batch, channels),
            (members, batch, channels, width - 1),
        )
    ]
    native.call("lengthwise_causal_conv1d_backward", _sizes(x, weight), [*inputs, *room])
    of_x, of_weight, of_bias, of_state = room
    return of_x, of_weight.sum(1), of_bias.sum(1), of_state


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, weight, bias, initial_state = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, weight, initial_state)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, initial_state = ctx.saved_tensors
    of_x, of_weight, of_bias, of_state = torch.ops.lengthwise.causal_conv1d_backward(
        x, weight, initial_state, gradient
    )
    return (
        of_x,
        of_weight,
        of_bias if ctx.has_bias else None,
        None if initial_state is None else of_state,
    )


def _fake_backward(x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, ...]:
    state = (*x.shape[:2], x.shape[-1], weight.shape[-1] - 1)
    shapes = (x.shape, weight.shape, weight.shape[:-1], state)
    return tuple(x.new_empty(shape) for shape in shapes)


register(
    "causal_conv1d",
    _convolve,
    lambda x, *_: x.new_empty(x.shape),
    remember=_remember,
    differentiate=_differentiate,
)
register("causal_conv1d_backward", _backward, _fake_backward)
