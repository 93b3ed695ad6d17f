"""Linear attention by the operator without a mean, on values with a one appended.

Any device, dtype, length and state, differentiable; the yardstick.
"""

import torch.nn.functional as F
from lengthwise.kernels.gated_linear_attention import gated_linear_attention
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    qkv: Tensor, heads: int, initial_state: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    q, k, v = (each.unflatten(-1, (heads, -1)) for each in qkv.chunk(3, -1))
    sums, state = gated_linear_attention(
        _features(q), _features(k), F.pad(v, (0, 1), value=1.0),
        initial_state=initial_state, scale=1.0,
    )  # fmt: skip
    exact = sums.to(state_dtype(sums.dtype))
    return (exact[..., :-1] / (exact[..., -1:] + eps)).to(qkv.dtype), state


def _features(x: Tensor) -> Tensor:
    return (F.elu(x.to(state_dtype(x.dtype))) + 1).to(x.dtype)
