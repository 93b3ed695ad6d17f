"""The quotient as its formula: any device and dtype, differentiable, the yardstick."""

from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, eps: float) -> Tensor:
    exact = x.to(state_dtype(x.dtype))
    return (exact[..., :-1] / (exact[..., -1:] + eps)).to(x.dtype)
