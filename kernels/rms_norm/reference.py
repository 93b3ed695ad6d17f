"""The root mean square norm as its formula: any device and dtype, differentiable, the yardstick."""

import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, weight: Tensor | None, gate: Tensor | None, eps: float) -> Tensor:
    exact = x.to(state_dtype(x.dtype))
    y = exact * (exact.square().mean(-1, keepdim=True) + eps).rsqrt()
    if weight is not None:
        y = y * weight
    if gate is not None:
        y = y * F.silu(gate.to(exact.dtype))
    return y.to(x.dtype)
