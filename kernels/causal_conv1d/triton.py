"""The causal convolution in Triton, forward and backward in one pass over x each.

As in the AVX2 backend the operator computes a stack of members, each with its own filters. The
kernels are in `lengthwise.kernels.gpu_convolution`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launch, on
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
WIDEST = 16
TOKENS = 64
CHANNELS = 64

OPERATORS.define(
    "causal_conv1d_tiles(Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state)"
    " -> (Tensor, Tensor)"
)
OPERATORS.define(
    "causal_conv1d_tiles_backward(Tensor x, Tensor weight, Tensor? initial_state,"
    " Tensor? output_gradient, Tensor? state_gradient) -> (Tensor, Tensor, Tensor, Tensor)"
)


def refusal(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, filters up to 16 taps."""
    if weight.shape[-1] > WIDEST:
        return f"filters have up to {WIDEST} taps"
    return gpu.refusal(x, weight, bias, initial_state)


def compute(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, weight.dtype)
    given = (x, weight, bias, initial_state)
    members = alone(*(None if each is None else each.to(dtype) for each in given))
    output, state = torch.ops.lengthwise.causal_conv1d_tiles(*members)
    # An index would copy the whole gradient on the way back.
    return output.squeeze(0), state.squeeze(0)


def _state(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:2], x.shape[3], weight.shape[-1] - 1)


def _grid(x: Tensor, weight: Tensor) -> tuple[int, int, int]:
    members, batch, length, channels = x.shape
    rows = length + weight.shape[-1] - 1
    return ceil_div(rows, TOKENS), ceil_div(channels, CHANNELS), members * batch


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.shape[2], x.shape[3], x.shape[1]


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_convolution import convolve

    x, weight, bias, initial = contiguous(x, weight, bias, initial_state)  # pyright: ignore[reportAssignmentType]
    output, final = torch.empty_like(x), _state(x, weight)
    with on(x):
        launch(convolve, *_grid(x, weight), warps=4)(
            x, weight, bias, initial, output, final, *_sizes(x), W=weight.shape[-1], BT=TOKENS,
            BE=CHANNELS, BIAS=bias is not None, INITIAL=_has_rows(initial),
        )  # fmt: skip
    return output, final


def _has_rows(state: Tensor | None) -> bool:
    return state is not None and state.numel() > 0


def _backward(
    x: Tensor,
    weight: Tensor,
    initial_state: Tensor | None,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_convolution import convolve_back

    if output_gradient is None:
        output_gradient = torch.zeros_like(x)
    x, weight, initial, output_gradient, state_gradient = contiguous(  # pyright: ignore[reportAssignmentType]
        x, weight, initial_state, output_gradient, state_gradient
    )
    members, batch, _, channels = x.shape
    width, grid = weight.shape[-1], _grid(x, weight)
    dx, dinitial = torch.empty_like(x), _state(x, weight)
    shares = x.new_empty(members, batch * grid[0], width + 1, channels, dtype=torch.float32)
    with on(x):
        launch(convolve_back, *grid, warps=4)(
            x, weight, initial, output_gradient, state_gradient, dx, dinitial, shares, *_sizes(x),
            W=width, BT=TOKENS, BE=CHANNELS, INITIAL=_has_rows(initial),
            FINAL=_has_rows(state_gradient),
        )  # fmt: skip
    sums = shares.sum(1).to(weight.dtype)
    return dx, sums[:, :width].mT.contiguous(), sums[:, width].contiguous(), dinitial


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG001
    x, weight, bias, initial_state = inputs
    ctx.has_bias = bias is not None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, weight, initial_state)


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None) -> Any:
    x, weight, initial_state = ctx.saved_tensors
    of_x, of_weight, of_bias, of_state = torch.ops.lengthwise.causal_conv1d_tiles_backward(
        x, weight, initial_state, output, state
    )
    of_state = None if initial_state is None else of_state
    return of_x, of_weight, of_bias if ctx.has_bias else None, of_state


def _fake(x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), _state(x, weight)


def _fake_backward(x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, ...]:
    shapes = (x.shape, weight.shape, weight.shape[:-1])
    return *(x.new_empty(shape) for shape in shapes), _state(x, weight)


register(
    "causal_conv1d_tiles",
    _convolve,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("causal_conv1d_tiles_backward", _backward, _fake_backward, devices=DEVICES)
