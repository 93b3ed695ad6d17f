"""Heads and features as their formula: any device and dtype, differentiable, the yardstick."""

import torch.nn.functional as F
from lengthwise.kernels.l2_norm.reference import compute as unit
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    qkv: Tensor, heads: int, feature_map: str, append_one: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (each.unflatten(-1, (heads, -1)) for each in qkv.chunk(3, -1))
    q, k = (unit(each, eps) if feature_map == "unit" else _elu(each) for each in (q, k))
    return q, k, F.pad(v, (0, 1), value=1.0) if append_one else v


def _elu(x: Tensor) -> Tensor:
    return (F.elu(x.to(state_dtype(x.dtype))) + 1).to(x.dtype)
