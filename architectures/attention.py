"""Causal softmax attention, with rotary, ALiBi, learned or no positions."""

from typing import Literal

import torch
from lengthwise.architectures.layers import Linear, check_positive, head_size, split_heads
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.kernels import linear_parts, softmax_attention
from torch import Tensor, nn

BIAS_ROWS = 1024
"""Queries whose bias over all keys is formed at once: memory then grows with T, not with T²."""


class Attention(Mixer):
    """y_t = W_o Σ_{s ≤ t} softmax_s(q_t · k_s / √K) v_s; its state is the cache of keys and values.

    Args:
        width: D.
        heads: number of heads; the head size is width / heads.
        positions: `rope` rotates queries and keys (Su et al., arXiv 2104.09864), `alibi` lowers the
            logits in proportion to distance (Press et al., arXiv 2108.12409), `learned` adds a
            trained vector of each place, drawn from N(0, 0.02²), to the mixer's input, `nope`
            leaves the order to the causal mask (Kazemnejad et al., arXiv 2305.19466).
        rope_base: base of the rotation's wavelengths; only rope reads it.
        max_positions: places that have a vector; only learned reads it.

    Raises:
        ValueError: the heads do not divide the width, a size below 1, rope gets an odd head size,
            or learned a sequence, with what its state has seen, of more than max_positions tokens.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 2,
        positions: Literal["rope", "nope", "alibi", "learned"] = "rope",
        rope_base: float = 10_000.0,
        max_positions: int = 512,
    ) -> None:
        super().__init__()
        check_positive(max_positions=max_positions)
        size = head_size(width, heads)
        if positions == "rope" and size % 2:
            raise ValueError(f"positions: rope needs an even head size, not {size}")
        self.width = width
        self.heads = heads
        self.positions = positions
        self.rope_base = rope_base
        self.max_positions = max_positions
        self.project = Linear(width, 3 * width, bias=False)
        self.output = Linear(width, width, bias=False)
        if positions == "learned":
            self.places = nn.Parameter(torch.empty(max_positions, width).normal_(std=0.02))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        seen = 0 if state is None else state[0].shape[2]
        if self.positions == "learned":
            self._check_length(seen + x.shape[1])
            x = x + self.places[seen : seen + x.shape[1]].to(x.dtype)
        q, k, v = (
            split_heads(each, self.heads).transpose(1, 2)
            for each in linear_parts(x, self.project.weight, [self.width] * 3)
        )
        if self.positions == "rope":
            q, k = (rotate(each, seen, self.rope_base) for each in (q, k))
        if state is not None:
            k, v = torch.cat([state[0], k], 2), torch.cat([state[1], v], 2)
        if self.positions == "alibi" or seen:
            mixed = self._attend_biased(q, k, v, seen)
        else:
            mixed = softmax_attention(q, k, v, causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2)), (k, v)

    def state_bytes(self, length: int) -> int:
        self._check_length(length)
        return 4 * 2 * self.width * length

    def _check_length(self, length: int) -> None:
        if self.positions == "learned" and length > self.max_positions:
            raise ValueError(
                f"max_positions: {self.max_positions} learned positions do not reach {length} "
                f"tokens; raise max_positions to {length} or more"
            )

    def _attend_biased(self, q: Tensor, k: Tensor, v: Tensor, seen: int) -> Tensor:
        return torch.cat(
            [
                softmax_attention(rows, k, v, bias=self._bias(rows, k, seen + n * BIAS_ROWS))
                for n, rows in enumerate(q.split(BIAS_ROWS, 2))
            ],
            2,
        )

    def _bias(self, q: Tensor, k: Tensor, seen: int) -> Tensor:
        """[H, T, S] or [T, S]: −inf where the key comes later, else ALiBi's −slope · distance."""
        queries = torch.arange(seen, seen + q.shape[2], device=q.device)
        distance = (queries[:, None] - torch.arange(k.shape[2], device=q.device)).to(q.dtype)
        bias = distance * 0
        if self.positions == "alibi":
            bias = -alibi_slopes(self.heads, q.device).to(q.dtype)[:, None, None] * distance
        return bias.masked_fill(distance < 0, -torch.inf)


def rotate(x: Tensor, start: int, base: float) -> Tensor:
    """Rotates the pairs (x_i, x_{i + K/2}) of [B, H, T, K] by position · base^(−2i/K).

    >>> x = torch.randn(1, 1, 3, 4)
    >>> torch.equal(rotate(x, 0, 10_000.0)[:, :, 0], x[:, :, 0])
    True
    """
    half = x.shape[-1] // 2
    # Angles in float64: at position 10⁶ a float32 angle is already off by 0.06 radians.
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float64) / half)
    position = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float64)
    angle = position[:, None] * frequency
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def alibi_slopes(heads: int, device: torch.device | None = None) -> Tensor:
    """2^(−8h/H) for h = 1 … H.

    >>> alibi_slopes(2).tolist()
    [0.0625, 0.00390625]
    """
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, device=device) / heads)
