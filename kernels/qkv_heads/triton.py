"""Heads and unit lengths in Triton: one pass forward, one backward; only the input is kept.

The kernels are in `lengthwise.kernels.gpu_qkv_heads`.
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

OPERATORS.define("qkv_heads_rows(Tensor qkv, int heads, float eps) -> (Tensor, Tensor, Tensor)")
OPERATORS.define(
    "qkv_heads_rows_backward(Tensor qkv, Tensor dq, Tensor dk, Tensor dv, float eps) -> Tensor"
)


def refusal(qkv: Tensor, heads: int, eps: float) -> str | None:  # noqa: ARG001
    """Computes half and single precision on an NVIDIA GPU, heads of up to 4,096 channels."""
    if qkv.shape[-1] // (3 * heads) > WIDEST:
        return f"heads have up to {WIDEST} channels"
    if not qkv.numel():
        return "there are no rows"
    return gpu.refusal(qkv)


def compute(qkv: Tensor, heads: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.ops.lengthwise.qkv_heads_rows(qkv[None], heads, eps)
    return q.squeeze(0), k.squeeze(0), v.squeeze(0)


def _launch(kernel: Any, q: Tensor, *args: Any) -> None:
    """Launches a kernel for the heads and rows of tensors [..., H, K]."""
    heads, size = q.shape[-2:]
    count, columns = row_tile(size, NUMBERS)
    rows = q.numel() // (heads * size)
    with launching(q) as launch:
        launch(kernel, ceil_div(rows, count), heads, warps=4)(
            *args, rows, H=heads, K=size, BR=count, BK=columns
        )


def _forward(qkv: Tensor, heads: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    from lengthwise.kernels.gpu_qkv_heads import heads_tile

    q, k, v = _fake(qkv, heads, eps)
    _launch(heads_tile, q, qkv.contiguous(), q, k, v, eps)
    return q, k, v


def _backward(qkv: Tensor, dq: Tensor, dk: Tensor, dv: Tensor, eps: float) -> Tensor:
    from lengthwise.kernels.gpu_qkv_heads import heads_tile_back

    gradients = [each.contiguous() for each in (dq, dk, dv)]
    dqkv = qkv.new_empty(qkv.shape)
    _launch(heads_tile_back, dq, qkv.contiguous(), *gradients, dqkv, eps)
    return dqkv


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG001
    qkv, _, ctx.eps = inputs
    ctx.save_for_backward(qkv)


def _differentiate(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
    (qkv,) = ctx.saved_tensors
    dqkv = torch.ops.lengthwise.qkv_heads_rows_backward(qkv, *gradients, ctx.eps)
    return dqkv, None, None


def _fake(qkv: Tensor, heads: int, _eps: float) -> tuple[Tensor, Tensor, Tensor]:
    *leading, width = qkv.shape
    q, k, v = (qkv.new_empty(*leading, heads, width // (3 * heads)) for _ in range(3))
    return q, k, v


def _fake_backward(qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(qkv.shape)


register(
    "qkv_heads_rows",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("qkv_heads_rows_backward", _backward, _fake_backward, devices=DEVICES)
