"""The causal convolution, step by step as it is defined: slow, any dtype, the yardstick."""

import torch
import torch.nn.functional as F
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


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
    inputs, filters, window = x.to(dtype), weight.to(dtype), initial_state.to(dtype)
    outputs: list[Tensor] = []
    for t in range(length):
        window = torch.cat([window, inputs[:, t, :, None]], -1)
        outputs.append((window * filters).sum(-1))
        window = window[..., 1:]
    output = torch.stack(outputs, 1)
    if bias is not None:
        output = output + bias.to(dtype)
    if activation == "silu":
        output = F.silu(output)
    return output.to(x.dtype), window.to(x.dtype)
