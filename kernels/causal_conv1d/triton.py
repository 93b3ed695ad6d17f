"""The causal convolution in Triton, forward and backward in one pass over x each.

As in the AVX2 backend the operator computes a stack of members, each with its own filters; here the
activation is part of it. The kernels are in `lengthwise.kernels.gpu_convolution`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
WIDEST = 16
TOKENS, WHOLE = 32, 128
"""Tokens that one warp walks, and how many it walks where that is the whole sequence."""
CHANNELS = 64
"""Channels of a warp, of filters so short that its registers hold that many."""
ROWS = 4
"""Tokens that are loaded together."""

OPERATORS.define(
    "causal_conv1d_tiles(Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state, bool silu)"
    " -> (Tensor, Tensor)"
)
OPERATORS.define(
    "causal_conv1d_tiles_backward(Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state,"
    " Tensor? output_gradient, Tensor? state_gradient, bool silu)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


def refusal(x: Tensor, weight: Tensor, *others: Any) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, filters up to 16 taps."""
    if weight.shape[-1] > WIDEST:
        return f"filters have up to {WIDEST} taps"
    return gpu.refusal(x, weight, *others[:-1])


def compute(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    members = alone(x, weight, bias, initial_state)
    output, state = torch.ops.lengthwise.causal_conv1d_tiles(*members, activation == "silu")
    # An index would copy the whole gradient on the way back.
    return output.squeeze(0), state.squeeze(0)


def _state(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:2], x.shape[3], weight.shape[-1] - 1)


def _constants(x: Tensor, weight: Tensor) -> dict[str, int]:
    width = weight.shape[-1]
    channels = 32 if width > 8 else min(CHANNELS, block(x.shape[3], 32))
    tokens = WHOLE if x.shape[2] + width - 1 <= WHOLE else TOKENS
    return {"W": width, "BT": tokens, "BE": channels, "ROWS": ROWS}


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.shape[2], x.shape[3], x.shape[1]


def _has_rows(state: Tensor | None) -> bool:
    return state is not None and state.numel() > 0


def _in_rows(x: Tensor) -> tuple[Tensor, int, int]:
    """x [M, B, T, E] with the distances of its sequences and rows.

    A part of a projection is read where it is.
    """
    members, batch, _, _ = x.shape
    even = members == 1 or batch == 1 or x.stride(0) == batch * x.stride(1)
    if x.stride(3) != 1 or not even:
        x = x.contiguous()
    return x, x.stride(0) if batch == 1 else x.stride(1), x.stride(2)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool
) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_convolution import convolve

    weight, bias, initial = contiguous(weight, bias, initial_state)  # pyright: ignore[reportAssignmentType]
    members, batch, length, channels = x.shape
    output, final, constants = x.new_empty(x.shape), _state(x, weight), _constants(x, weight)
    blocks = ceil_div(channels, constants["BE"])
    with launching(x) as launch:
        tiles = ceil_div(length, constants["BT"])
        launch(convolve, tiles, blocks, members * batch, warps=1)(
            *_in_rows(x), weight, bias, initial, output, final, *_sizes(x), **constants,
            BIAS=bias is not None, INITIAL=_has_rows(initial), SILU=silu,
        )  # fmt: skip
    return output, final


def _backward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
    silu: bool,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_convolution import add_shares, convolve_back

    if output_gradient is None:
        output_gradient = x.new_zeros(x.shape)
    weight, bias, initial, output_gradient, state_gradient = contiguous(  # pyright: ignore[reportAssignmentType]
        weight, bias, initial_state, output_gradient, state_gradient
    )
    members, batch, length, channels = x.shape
    room = _gradients(x, weight, bias, initial)
    dx, dweight, dbias, dinitial = room
    constants = _constants(x, weight)
    width = constants["W"]
    tiles = ceil_div(length + width - 1, constants["BT"])
    parts = batch * tiles
    shares = x.new_empty(members, parts, width + 1, channels, dtype=torch.float32)
    with launching(x) as launch:
        blocks = ceil_div(channels, constants["BE"])
        launch(convolve_back, tiles, blocks, members * batch, warps=1)(
            *_in_rows(x), weight, bias, initial, output_gradient, state_gradient, dx, dinitial,
            shares, *_sizes(x), **constants, BIAS=bias is not None,
            INITIAL=_has_rows(initial), FINAL=_has_rows(state_gradient), SILU=silu,
        )  # fmt: skip
        launch(add_shares, ceil_div(channels, 16), width + 1, members, warps=4)(
            shares, dweight, dbias, parts, channels, W=width, BP=256, BE=16
        )
    return tuple(room)


def _gradients(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> list[Tensor]:
    """Room for the gradients; of what is not given too."""
    of_bias = (weight if bias is None else bias).new_empty(weight.shape[:-1])
    like = _state(x, weight) if initial_state is None else initial_state
    return [
        *(each.new_empty(each.shape) for each in (x, weight)),
        of_bias,
        like.new_empty(like.shape),
    ]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG001
    *tensors, ctx.silu = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None) -> Any:
    inputs = ctx.saved_tensors
    gradients = torch.ops.lengthwise.causal_conv1d_tiles_backward(*inputs, output, state, ctx.silu)
    return *present(inputs, gradients), None


def _fake(x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), _state(x, weight)


def _fake_backward(*inputs: Any) -> tuple[Tensor, ...]:
    return tuple(_gradients(*inputs[:4]))


register(
    "causal_conv1d_tiles",
    _convolve,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("causal_conv1d_tiles_backward", _backward, _fake_backward, devices=DEVICES)
