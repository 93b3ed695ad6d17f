"""A mixer of one's own: each channel remembers a decaying average of what it has read."""

import torch
import torch.nn.functional as F
from lengthwise.architectures.layers import Linear
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.kernels import gated_linear_attention
from torch import Tensor, nn


class DecayingAverage(Mixer):
    """h_t = a h_{t−1} + W_v x_t, y_t = W_o (h_t ⊙ SiLU(W_g x_t)); one learned decay a a channel.

    It is linear attention with key size 1, so the operator does all the work, at any length and
    across any cut.

    Args:
        width: D.
        longest_memory: slowest channel's memory at the start, in tokens.
    """

    def __init__(self, width: int, *, longest_memory: float = 64.0) -> None:
        super().__init__()
        self.width = width
        self.project = Linear(width, 2 * width, bias=False)
        memory = torch.logspace(0, 1, width, base=longest_memory)
        self.decay = nn.Parameter(torch.log(torch.expm1(1 / memory)))
        self.output = Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        v, gate = self.project(x).chunk(2, -1)
        v = v[..., None]
        ones = torch.ones_like(v)
        log_decay = -F.softplus(self.decay).expand(x.shape)
        averaged, final = gated_linear_attention(
            ones, ones, v, log_decay, initial_state=None if state is None else state[0]
        )
        return self.output(averaged.squeeze(-1) * F.silu(gate)), (final,)

    def state_bytes(self, length: int) -> int:  # noqa: ARG002
        return 4 * self.width
