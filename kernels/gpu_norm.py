"""Norms of rows on a GPU: what rms_norm and l2_norm share. The kernels: `gpu_norm_kernels`.

The operator computes a stack of members [P, …, D], each with its own weight. Nothing is kept for
the backward pass but the inputs: a row's norm costs no pass of its own.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launching
from lengthwise.kernels.gpu_rows import Rows, by_rows, row_tile
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from torch import Tensor

WIDEST = 4096
FORWARD = 4096
"""Numbers of a tile."""
BACKWARD = 2048
STEPS = 4
"""Tiles that a program takes in turn backward, at least."""
ROWS = 32
"""Rows that it takes, at least: its share of the weight's gradient is as long as a row."""

OPERATORS.define(
    "normalize_rows(Tensor x, Tensor? weight, Tensor? gate, float eps, bool mean) -> Tensor"
)
OPERATORS.define(
    "normalize_rows_backward(Tensor x, Tensor? weight, Tensor? gate, Tensor gradient, float eps,"
    " bool mean) -> (Tensor, Tensor, Tensor)"
)


def refusal(x: Tensor, weight: Tensor | None, gate: Tensor | None, eps: float) -> str | None:  # noqa: ARG001
    """Computes half and single precision on an NVIDIA GPU, rows of up to 4,096 numbers."""
    if x.shape[-1] > WIDEST:
        return f"rows have up to {WIDEST} numbers"
    if not x.numel():
        return "there are no rows"
    return gpu.refusal(x, weight, gate)


def normalize(
    x: Tensor, weight: Tensor | None, gate: Tensor | None, eps: float, *, mean: bool
) -> Tensor:
    """x / √(mean or sum of x² + eps) · weight · SiLU(gate) in x's dtype."""
    output = torch.ops.lengthwise.normalize_rows(*alone(x, weight, gate), eps, mean)
    return output.squeeze(0)


def _constants(
    rows: Rows, weight: Tensor | None, gate: Tensor | None, mean: bool, numbers: int
) -> dict[str, Any]:
    size = rows.tensor.shape[-1]
    count, columns = row_tile(size, numbers)
    return {
        "D": size,
        "BR": count,
        "BD": columns,
        "MEAN": mean,
        "WEIGHT": weight is not None,
        "GATE": gate is not None,
    }


def _normalize(
    x: Tensor, weight: Tensor | None, gate: Tensor | None, eps: float, mean: bool
) -> Tensor:
    from lengthwise.kernels.gpu_norm_kernels import normalize_tile

    rows = by_rows(x)
    gates = rows if gate is None else by_rows(gate)
    (weight,) = contiguous(weight)
    output = x.new_empty(x.shape)
    constants = _constants(rows, weight, gate, mean, FORWARD)
    with launching(x) as launch:
        launch(normalize_tile, *rows.grid(constants["BR"]), warps=4)(
            rows.tensor, weight, gates.tensor, output, *rows.strides, *gates.strides,
            rows.count, rows.heads, eps, **constants,
        )  # fmt: skip
    return output


def _backward(
    x: Tensor,
    weight: Tensor | None,
    gate: Tensor | None,
    gradient: Tensor,
    eps: float,
    mean: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    from lengthwise.kernels.gpu_norm_kernels import normalize_tile_back

    rows, incoming = by_rows(x), by_rows(gradient)
    gates = rows if gate is None else by_rows(gate)
    (weight,) = contiguous(weight)
    dx, dweight, dgate = _fake_backward(x, weight, gate)
    constants = _constants(rows, weight, gate, mean, BACKWARD)
    steps = max(STEPS, ROWS // constants["BR"])
    grid = rows.grid(constants["BR"] * steps)
    shares = (
        x.new_empty(grid[1], grid[0], x.shape[-1], dtype=torch.float32)
        if weight is not None
        else None
    )
    with launching(x) as launch:
        launch(normalize_tile_back, *grid, warps=4)(
            rows.tensor, weight, gates.tensor, incoming.tensor, dx, dgate, shares,
            *rows.strides, *gates.strides, *incoming.strides, rows.count, rows.heads, eps,
            **constants, STEPS=steps,
        )  # fmt: skip
    if shares is not None:
        dweight = shares.sum(1).to(dweight.dtype)
    return dx, dweight, dgate


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    *tensors, ctx.eps, ctx.mean = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    gradients = torch.ops.lengthwise.normalize_rows_backward(
        *ctx.saved_tensors, gradient, ctx.eps, ctx.mean
    )
    return *present(ctx.saved_tensors, gradients), None, None


def _fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _fake_backward(
    x: Tensor, weight: Tensor | None, gate: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for the gradients, none for those of inputs that were not given."""
    nothing = x.new_empty(x.shape[0], 0)
    dx, dweight, dgate = (
        nothing if each is None else each.new_empty(each.shape) for each in (x, weight, gate)
    )
    return dx, dweight, dgate


register(
    "normalize_rows",
    _normalize,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("normalize_rows_backward", _backward, _fake_backward, devices=DEVICES)
