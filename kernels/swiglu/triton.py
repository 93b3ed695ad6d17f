"""The gated product in Triton: one pass forward, one backward; only the inputs are kept.

The operator computes a stack of members [P, …, D]. The kernels are in
`lengthwise.kernels.gpu_swiglu`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launching
from lengthwise.kernels.gpu_rows import Rows, by_rows
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
ROWS = 32
COLUMNS = 64

OPERATORS.define("swiglu_rows(Tensor gate, Tensor up) -> Tensor")
OPERATORS.define(
    "swiglu_rows_backward(Tensor gate, Tensor up, Tensor gradient) -> (Tensor, Tensor)"
)


def refusal(gate: Tensor, up: Tensor) -> str | None:
    """Computes half and single precision on an NVIDIA GPU."""
    if not gate.numel():
        return "there are no rows"
    return gpu.refusal(gate, up)


def compute(gate: Tensor, up: Tensor) -> Tensor:
    return torch.ops.lengthwise.swiglu_rows(*alone(gate, up)).squeeze(0)


def _grid(rows: Rows) -> tuple[int, int, int]:
    programs, members = rows.grid(ROWS)
    return programs, ceil_div(rows.tensor.shape[-1], COLUMNS), members


def _constants(rows: Rows) -> dict[str, int]:
    return {"D": rows.tensor.shape[-1], "BR": ROWS, "BD": COLUMNS}


def _gate(gate: Tensor, up: Tensor) -> Tensor:
    from lengthwise.kernels.gpu_swiglu import gate_tile

    gates, ups = by_rows(gate), by_rows(up)
    output = gate.new_empty(gate.shape)
    with launching(gate) as launch:
        launch(gate_tile, *_grid(gates), warps=4)(
            gates.tensor, ups.tensor, output, *gates.strides, *ups.strides,
            gates.count, gates.heads, **_constants(gates),
        )  # fmt: skip
    return output


def _backward(gate: Tensor, up: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_swiglu import gate_tile_back

    gates, ups, incoming = by_rows(gate), by_rows(up), by_rows(gradient)
    dgate, dup = gate.new_empty(gate.shape), up.new_empty(up.shape)
    with launching(gate) as launch:
        launch(gate_tile_back, *_grid(gates), warps=4)(
            gates.tensor, ups.tensor, incoming.tensor, dgate, dup,
            *gates.strides, *ups.strides, *incoming.strides,
            gates.count, gates.heads, **_constants(gates),
        )  # fmt: skip
    return dgate, dup


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.lengthwise.swiglu_rows_backward(*ctx.saved_tensors, gradient)


def _fake(gate: Tensor, up: Tensor) -> Tensor:  # noqa: ARG001
    return gate.new_empty(gate.shape)


def _fake_backward(gate: Tensor, up: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    return gate.new_empty(gate.shape), up.new_empty(up.shape)


register(
    "swiglu_rows", _gate, _fake, devices=DEVICES, remember=_remember, differentiate=_differentiate
)
register("swiglu_rows_backward", _backward, _fake_backward, devices=DEVICES)
