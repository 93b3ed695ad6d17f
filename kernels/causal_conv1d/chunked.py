"""The causal convolution as a sum of shifted products: any device, differentiable."""

import torch
import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 10


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(x.dtype)
    batch, length, channels = x.shape
    width = weight.shape[-1]
    if initial_state is None:
        initial_state = x.new_zeros(batch, channels, width - 1)
    padded = torch.cat([initial_state.mT.to(x.dtype), x], 1)
    inputs, filters = padded.to(dtype), weight.to(dtype)
    output = inputs[:, :length] * filters[:, 0]
    for tap in range(1, width):
        output = output + inputs[:, tap : tap + length] * filters[:, tap]
    if bias is not None:
        output = output + bias.to(dtype)
    if activation == "silu":
        output = F.silu(output)
    return output.to(x.dtype), padded[:, length:].mT
