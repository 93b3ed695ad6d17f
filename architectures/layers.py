"""The pieces that mixers share: projection, norm, short convolution, splitting into heads."""

import math

import torch
from lengthwise.kernels import causal_conv1d, linear, rms_norm
from torch import Tensor, nn


class Linear(nn.Linear):
    """nn.Linear by the operator `linear`, whose product is one for all members of a stack."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return linear(input, self.weight, self.bias)


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) · weight over the last dimension, and · SiLU(gate) if there is one."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        return rms_norm(x, self.weight, gate=gate, eps=self.eps)


class ShortConvolution(nn.Module):
    """A causal depthwise convolution over the last `kernel_size` tokens, then SiLU."""

    undecayed = ("weight",)

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        bound = kernel_size**-0.5
        self.weight = nn.Parameter(torch.empty(channels, kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        return causal_conv1d(x, self.weight, self.bias, initial_state=state, activation="silu")


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, H·K] → [B, T, H, K]."""
    return x.unflatten(-1, (heads, -1))


def head_size(width: int, heads: int) -> int:
    """Channels a head.

    Raises:
        ValueError: the width is not a multiple of the number of heads.
    """
    check_positive(heads=heads)
    if width % heads:
        raise ValueError(f"heads: {heads} does not divide the width {width}")
    return width // heads


def check_positive(**sizes: int) -> None:
    """Raises a ValueError that names the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: {size} must be at least 1")


def time_step_bias(size: int) -> Tensor:
    """Biases b [size] such that softplus(b) is log-uniform in [0.001, 0.1].

    Source: Gu and Dao, Mamba (arXiv 2312.00752), section 3.6.
    """
    time_step = torch.exp(torch.empty(size).uniform_(math.log(1e-3), math.log(1e-1)))
    return time_step + torch.log(-torch.expm1(-time_step))
