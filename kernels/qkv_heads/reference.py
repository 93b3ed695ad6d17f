"""Heads and unit lengths as their formula: any device and dtype, differentiable, the yardstick."""

from lengthwise.kernels.l2_norm.reference import compute as unit
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(qkv: Tensor, heads: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (each.unflatten(-1, (heads, -1)) for each in qkv.chunk(3, -1))
    return unit(q, eps), unit(k, eps), v
