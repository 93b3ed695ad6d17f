"""The embedding in Triton: its gradient sums the rows of each token in sorted order, no atomics.

Most tokens of a task may be one and the same filler: blocks of sorted rows are summed side by
side, then the shares of tokens that cross blocks are rows for the same kernel again, until one
block holds a member's. The kernels are in `lengthwise.kernels.gpu_embedding`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.registration import OPERATORS, contiguous, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
ROWS = 64
"""Of a block; the shares are ROWS / 2 times fewer than the rows."""
COLUMNS = 64
WARPS = 4

OPERATORS.define("embedding_rows(Tensor weight, Tensor tokens, ScalarType dtype) -> Tensor")
OPERATORS.define(
    "embedding_rows_backward(Tensor gradient, Tensor tokens, int vocabulary, ScalarType dtype)"
    " -> Tensor"
)


def refusal(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> str | None:
    """Computes half and single precision on an NVIDIA GPU."""
    if tokens.numel() == 0:
        return "there are no tokens"
    return gpu.refusal(weight, weight.new_empty(0, dtype=dtype))


def compute(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    rows = torch.ops.lengthwise.embedding_rows(weight[None], tokens.reshape(1, -1), dtype)
    return rows.view(*tokens.shape, -1)


def _grid(rows: int, members: int, width: int) -> tuple[int, int, int]:
    return ceil_div(rows, ROWS), members, ceil_div(width, _columns(width))


def _columns(width: int) -> int:
    return min(block(width), COLUMNS)


def _forward(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    from lengthwise.kernels.gpu_embedding import gather_rows

    (members, vocabulary, width), rows = weight.shape, tokens.shape[1]
    output = _fake(weight, tokens, dtype)
    with launching(weight) as launch:
        launch(gather_rows, *_grid(rows, members, width), warps=WARPS)(
            *contiguous(weight, tokens), output, rows, vocabulary,
            D=width, BD=_columns(width), BN=ROWS,
        )  # fmt: skip
    return output


def _backward(gradient: Tensor, tokens: Tensor, vocabulary: int, dtype: torch.dtype) -> Tensor:
    from lengthwise.kernels.gpu_embedding import sum_runs

    members, rows, width = gradient.shape
    total = gradient.new_zeros(members, vocabulary, width, dtype=dtype)
    # int32: a radix sort takes half as many passes as over int64.
    member = torch.arange(members, dtype=torch.int32, device=tokens.device)[:, None]
    keys = tokens.int().clamp(0, vocabulary - 1) + vocabulary * member
    keys, order = keys.flatten().sort(stable=True)
    values = gradient.contiguous()
    blocks = 0
    with launching(gradient) as launch:
        while blocks != 1:
            grid = _grid(rows, members, width)
            blocks = grid[0]
            shares = gradient.new_empty(members, 2 * blocks, width, dtype=torch.float32)
            share_keys = keys.new_empty(members, 2 * blocks)
            launch(sum_runs, *grid, warps=WARPS)(
                values, keys, order, total, shares, share_keys, rows,
                D=width, BD=_columns(width), R=ROWS, SORTED=order is None,
            )  # fmt: skip
            values, keys, order, rows = shares, share_keys, None, 2 * blocks
    return total


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    weight, tokens, _ = inputs
    ctx.vocabulary, ctx.dtype = weight.shape[1], weight.dtype
    ctx.save_for_backward(tokens)


def _differentiate(ctx: Any, gradient: Tensor) -> Any:
    (tokens,) = ctx.saved_tensors
    backward = torch.ops.lengthwise.embedding_rows_backward
    return backward(gradient, tokens, ctx.vocabulary, ctx.dtype), None, None


def _fake(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.new_empty(*tokens.shape, weight.shape[-1], dtype=dtype)


def _fake_backward(
    gradient: Tensor,
    tokens: Tensor,  # noqa: ARG001
    vocabulary: int,
    dtype: torch.dtype,
) -> Tensor:
    return gradient.new_empty(gradient.shape[0], vocabulary, gradient.shape[-1], dtype=dtype)


register(
    "embedding_rows",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("embedding_rows_backward", _backward, _fake_backward, devices=DEVICES)
