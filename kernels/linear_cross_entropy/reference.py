"""The loss as it is defined, with all logits at once: any device, any dtype, the yardstick."""

import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, weight: Tensor, answers: Tensor) -> Tensor:
    logits = F.linear(x, weight.to(x.dtype))
    return F.cross_entropy(logits.to(state_dtype(logits.dtype)), answers, reduction="none")
