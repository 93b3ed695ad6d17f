"""The gated product as its formula: any device and dtype, differentiable, the yardstick."""

import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(gate: Tensor, up: Tensor) -> Tensor:
    return (F.silu(gate.to(state_dtype(gate.dtype))) * up).to(gate.dtype)
