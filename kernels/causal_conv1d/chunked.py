"""The causal convolution as a sum of shifted products: any device, differentiable."""

import torch
from torch import Tensor

PREFERENCE = 10


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    batch, length, channels = x.shape
    width = weight.shape[-1]
    if initial_state is None:
        initial_state = x.new_zeros(batch, channels, width - 1)
    padded = torch.cat([initial_state.mT, x], 1)
    output = padded[:, :length] * weight[:, 0]
    for tap in range(1, width):
        output = output + padded[:, tap : tap + length] * weight[:, tap]
    return output if bias is None else output + bias, padded[:, length:].mT
