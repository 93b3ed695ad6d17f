"""Unit vectors as their formula: any device and dtype, differentiable, the yardstick."""

from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, eps: float) -> Tensor:
    exact = x.to(state_dtype(x.dtype))
    y = exact * (exact.square().sum(-1, keepdim=True) + eps).rsqrt()
    return y.to(x.dtype)
