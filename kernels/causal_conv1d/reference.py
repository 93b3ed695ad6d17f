"""The causal convolution, step by step as it is defined: slow, any dtype, the yardstick."""

import torch
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None
) -> tuple[Tensor, Tensor]:
    batch, length, channels = x.shape
    width = weight.shape[-1]
    if initial_state is None:
        initial_state = x.new_zeros(batch, channels, width - 1)
    window = initial_state
    outputs: list[Tensor] = []
    for t in range(length):
        window = torch.cat([window, x[:, t, :, None]], -1)
        outputs.append((window * weight).sum(-1))
        window = window[..., 1:]
    output = torch.stack(outputs, 1)
    return output if bias is None else output + bias, window
