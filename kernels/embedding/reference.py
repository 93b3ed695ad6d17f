"""torch's own embedding: any device, any dtype, the yardstick."""

import torch
import torch.nn.functional as F
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    return F.embedding(tokens, weight).to(dtype)
