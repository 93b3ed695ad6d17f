"""The gated delta rule, step by step as it is defined: slow, any dtype, the yardstick."""

import torch
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(v.dtype)
    q, k, beta, values = q.to(dtype), k.to(dtype), beta.to(dtype), v.to(dtype)
    batch, length, heads, key_size = q.shape
    if initial_state is None:
        initial_state = q.new_zeros(batch, heads, key_size, v.shape[-1])
    state = initial_state.to(dtype)
    outputs: list[Tensor] = []
    for t in range(length):
        if log_decay is not None:
            state = log_decay[:, t, :, None, None].to(dtype).exp() * state
        held = torch.einsum("bhkv,bhk->bhv", state, k[:, t])
        correction = beta[:, t, :, None] * (values[:, t] - held)
        state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], correction)
        outputs.append(scale * torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
    return torch.stack(outputs, 1).to(v.dtype), state
