"""Softmax attention as its formula, with all weights at once: any device, any dtype."""

import torch
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
    dtype = state_dtype(q.dtype)
    logits = q.to(dtype) @ k.to(dtype).mT * q.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + bias.to(dtype)
    if causal:
        later = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        logits = logits.masked_fill(later, -torch.inf)
    return (logits.softmax(-1) @ v.to(dtype)).to(q.dtype)
