"""The gated projection in Triton: one pass forward, one backward; only the inputs are kept.

The operator computes a stack of members [P, N, D]. The gradient of the weight comes as shares over
some rows each, which are added up afterwards. The kernels are in
`lengthwise.kernels.gpu_swiglu_linear`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.linear.gradients import readable
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import autocast_dtype, ceil_div
from torch import Tensor

PREFERENCE = 30
WIDEST = 128
"""Channels in and out."""
ROWS, ROWS_BACK = 64, 32
"""Of the tiles that a program walks, forward and backward."""
PROGRAMS = 264
"""Two a multiprocessor of an H100: the rows are split until there are so many."""

OPERATORS.define(
    "swiglu_linear_rows(Tensor gate, Tensor up, Tensor weight, Tensor factor) -> Tensor"
)
OPERATORS.define(
    "swiglu_linear_rows_backward(Tensor gate, Tensor up, Tensor weight, Tensor factor,"
    " Tensor gradient) -> (Tensor, Tensor, Tensor)"
)


def refusal(gate: Tensor, up: Tensor, weight: Tensor) -> str | None:
    """Computes half precision on an NVIDIA GPU, up to 128 channels."""
    if not gate.numel():
        return "there are no rows"
    if max(weight.shape) > WIDEST:
        return f"it computes up to {WIDEST} channels in and out"
    if _dtype(gate) not in (torch.bfloat16, torch.float16):
        return "it computes in half precision"
    return gpu.refusal(gate, up, weight)


def compute(gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
    dtype = _dtype(gate)
    # The products' own copy of the weight, which serves the backward pass too.
    factor = weight.detach().to(dtype)
    members = alone(gate.to(dtype), up.to(dtype), weight, factor)
    return torch.ops.lengthwise.swiglu_linear_rows(*members).squeeze(0)


def _dtype(gate: Tensor) -> torch.dtype:
    return autocast_dtype(gate.device.type) or gate.dtype


def _cut(rows: int, members: int, tile: int) -> tuple[int, int]:
    """Rows that a program walks, and programs a member."""
    span = tile * ceil_div(ceil_div(rows, tile), max(1, PROGRAMS // members))
    return span, ceil_div(rows, span)


def _constants(gate: Tensor, up: Tensor, factor: Tensor) -> dict[str, int]:
    outputs, width = factor.shape[1:]
    return {
        "GATE_ROW": gate.stride(1), "UP_ROW": up.stride(1), "D": width, "BD": block(width),
        "OUT": outputs, "BO": block(outputs),
    }  # fmt: skip


def _project(gate: Tensor, up: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    from lengthwise.kernels.gpu_swiglu_linear import project_rows

    gate, up, factor = readable(gate), readable(up), factor.contiguous()
    members, rows, _ = gate.shape
    output = gate.new_empty(members, rows, weight.shape[1])
    span, programs = _cut(rows, members, ROWS)
    with launching(gate) as launch:
        launch(project_rows, programs, members, warps=4)(
            gate, up, factor, output, rows, span, gate.stride(0), up.stride(0),
            **_constants(gate, up, factor), BN=ROWS,
        )  # fmt: skip
    return output


def _backward(
    gate: Tensor, up: Tensor, weight: Tensor, factor: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from lengthwise.kernels.gpu_swiglu_linear import project_rows_back

    gate, up, factor = readable(gate), readable(up), factor.contiguous()
    gradient = readable(gradient)
    members, rows, _ = gate.shape
    dgate, dup = gate.new_empty(gate.shape), up.new_empty(up.shape)
    span, programs = _cut(rows, members, ROWS_BACK)
    shares = factor.new_empty(members, programs, *factor.shape[1:], dtype=torch.float32)
    with launching(gate) as launch:
        launch(project_rows_back, programs, members, warps=4)(
            gate, up, factor, gradient, dgate, dup, shares, rows, span,
            gate.stride(0), up.stride(0), gradient.stride(0),
            **_constants(gate, up, factor), BN=ROWS_BACK, GRADIENT_ROW=gradient.stride(1),
        )  # fmt: skip
    return dgate, dup, shares.sum(1).to(weight.dtype)


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    backward = torch.ops.lengthwise.swiglu_linear_rows_backward
    return *backward(*ctx.saved_tensors, gradient), None


def _fake(gate: Tensor, _up: Tensor, weight: Tensor, _factor: Tensor) -> Tensor:
    return gate.new_empty(*gate.shape[:2], weight.shape[1])


def _fake_backward(gate: Tensor, up: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(each.new_empty(each.shape) for each in (gate, up, weight))


register(
    "swiglu_linear_rows",
    _project,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("swiglu_linear_rows_backward", _backward, _fake_backward, devices=DEVICES)
