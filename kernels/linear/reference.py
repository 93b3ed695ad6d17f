"""The projection by torch's own product: any device and dtype, autocast or not."""

import torch.nn.functional as F
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight, bias)
