"""Mamba: a selective state space behind a short convolution, gated."""

import math

import torch
from lengthwise.architectures.layers import (
    Linear,
    ShortConvolution,
    check_positive,
    time_step_bias,
)
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.kernels import linear, linear_parts, selective_scan, swiglu_linear
from torch import Tensor, nn


class Mamba(Mixer):
    """y = W_o (scan(x', Δ, A, B, C) ⊙ SiLU(z)), where x' = SiLU(conv(W_x x)) and z = W_z x.

    Δ, B and C are projections of x', so the state selects by content what it keeps. The state is
    the scan's [E, N] and the last inputs of the convolution.

    Args:
        width: D.
        expand: E / D, the inner width over the width.
        state_size: N, state a channel.
        conv_size: tokens that the short convolution sees.

    Raises:
        ValueError: a size below 1.

    Source: Gu and Dao, Mamba (arXiv 2312.00752), figure 3 and section 3.6.
    """

    undecayed = ("A_log",)

    def __init__(
        self, width: int, *, expand: int = 2, state_size: int = 16, conv_size: int = 4
    ) -> None:
        super().__init__()
        check_positive(expand=expand, state_size=state_size, conv_size=conv_size)
        inner = expand * width
        self.inner = inner
        self.state_size = state_size
        self.conv_size = conv_size
        self.time_step_rank = math.ceil(width / 16)
        self.project = Linear(width, 2 * inner, bias=False)
        self.convolution = ShortConvolution(inner, conv_size)
        self.select = Linear(inner, self.time_step_rank + 2 * state_size, bias=False)
        self.time_step = Linear(self.time_step_rank, inner)
        bound = self.time_step_rank**-0.5
        nn.init.uniform_(self.time_step.weight, -bound, bound)
        self.time_step.bias.data = time_step_bias(inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.output = Linear(inner, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        recent, hidden = (None, None) if state is None else state
        inputs, gate = linear_parts(x, self.project.weight, [self.inner, self.inner])
        inputs, recent = self.convolution(inputs, recent)
        sizes = [self.time_step_rank, self.state_size, self.state_size]
        low_rank, B, C, inputs = linear_parts(inputs, self.select.weight, sizes, onward=True)
        delta = linear(low_rank, self.time_step.weight)
        A = -self.A_log.exp()
        mixed, hidden = selective_scan(
            inputs, delta, A, B, C, self.D, delta_bias=self.time_step.bias, initial_state=hidden
        )
        return swiglu_linear(gate, mixed, self.output.weight), (recent, hidden)

    def state_bytes(self, length: int) -> int:  # noqa: ARG002
        return 4 * self.inner * (self.state_size + self.conv_size - 1)
