"""AdamW as its formula: any device and dtype, the yardstick."""

import torch
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    parameters: Tensor,
    gradients: Tensor,
    first_moments: Tensor,
    second_moments: Tensor,
    decayed: Tensor,
    lr: Tensor,
    weight_decay: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    step: Tensor,
    clip: Tensor | None,
    eps: float,
) -> None:
    def column(values: Tensor) -> Tensor:
        return values.to(parameters.dtype)[:, None]

    if clip is not None:
        norms = gradients.norm(dim=1, keepdim=True)
        scale = (column(clip) / (norms + 1e-6)).clamp(max=1.0)
        gradients = gradients * torch.where(column(clip).isinf(), 1.0, scale)
    beta1, beta2 = beta1.double(), beta2.double()
    first_moments.lerp_(gradients, column(1 - beta1))
    second_moments.mul_(column(beta2)).addcmul_(column(1 - beta2) * gradients, gradients)
    correction1, correction2 = (column(1 - beta ** (step + 1)) for beta in (beta1, beta2))
    scale = (second_moments / correction2).sqrt_().add_(eps)
    parameters.mul_(1 - column(lr) * column(weight_decay) * decayed)
    parameters.sub_(column(lr) / correction1 * first_moments / scale)
