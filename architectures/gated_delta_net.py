"""Gated DeltaNet: a fast-weight memory that overwrites what it holds under a key, and forgets."""

import torch
import torch.nn.functional as F
from lengthwise.architectures.layers import (
    Linear,
    RMSNorm,
    ShortConvolution,
    check_positive,
    head_size,
    split_heads,
    time_step_bias,
)
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.kernels import gated_delta_rule, linear_parts, qkv_heads
from torch import Tensor, nn


class GatedDeltaNet(Mixer):
    """The gated delta rule between short convolutions and a gated output norm.

    q, k, v pass a short convolution with SiLU; q and k are made unit vectors; beta = σ(W_b x);
    log_decay = −exp(A_log) softplus(W_a x + dt_bias); the output is normed a head, gated by
    SiLU(W_g x) and projected. The state is S [H, K, K] and the last inputs of the convolution.

    Args:
        width: D.
        heads: number of heads; key and value size are width / heads.
        conv_size: tokens that the short convolutions see.

    Raises:
        ValueError: the heads do not divide the width, or a size below 1.

    Source: Yang et al., Gated Delta Networks (arXiv 2412.06464), section 3.
    """

    undecayed = ("A_log", "dt_bias")

    def __init__(self, width: int, *, heads: int = 2, conv_size: int = 4) -> None:
        super().__init__()
        check_positive(conv_size=conv_size)
        self.head_size = head_size(width, heads)
        self.width = width
        self.heads = heads
        self.conv_size = conv_size
        self.project = Linear(width, 4 * width + 2 * heads, bias=False)
        self.convolution = ShortConvolution(3 * width, conv_size)
        # A of exactly 0 would have no logarithm.
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(0, 16).clamp_min(1e-3).log())
        self.dt_bias = nn.Parameter(time_step_bias(heads))
        self.norm = RMSNorm(self.head_size)
        self.output = Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        recent, memory = (None, None) if state is None else state
        sizes = [3 * self.width, self.width, self.heads, self.heads]
        qkv, gate, beta, time_step = linear_parts(x, self.project.weight, sizes)
        qkv, recent = self.convolution(qkv, recent)
        mixed, memory = gated_delta_rule(
            *qkv_heads(qkv, self.heads),
            beta.sigmoid(),
            -self.A_log.exp() * F.softplus(time_step + self.dt_bias),
            initial_state=memory,
        )
        gated = self.norm(mixed, split_heads(gate, self.heads))
        return self.output(gated.flatten(2)), (recent, memory)

    def state_bytes(self, length: int) -> int:  # noqa: ARG002
        convolution = 3 * self.width * (self.conv_size - 1)
        return 4 * (self.heads * self.head_size**2 + convolution)
