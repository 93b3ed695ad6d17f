"""The loss as it is defined, with all logits at once: any device, any dtype, the yardstick."""

import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(x: Tensor, weight: Tensor, answers: Tensor) -> Tensor:
    logits = F.linear(x, weight.to(x.dtype))
    logits = logits.to(state_dtype(logits.dtype))
    # torch's own cross-entropy imports sympy where it is mapped over members: half a second.
    return logits.logsumexp(-1) - logits.gather(-1, answers[..., None]).squeeze(-1)
