"""Gated linear attention, step by step as it is defined: slow, any dtype, the yardstick."""

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
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(v.dtype)
    q, k, values = q.to(dtype), k.to(dtype), v.to(dtype)
    batch, length, heads, key_size = q.shape
    if initial_state is None:
        initial_state = q.new_zeros(batch, heads, key_size, v.shape[-1])
    state = initial_state.to(dtype)
    outputs: list[Tensor] = []
    for t in range(length):
        if log_decay is not None:
            decay = log_decay[:, t].to(dtype).exp()
            state = (decay[..., None, None] if decay.dim() == 2 else decay[..., None]) * state
        state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], values[:, t])
        outputs.append(scale * torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
    return torch.stack(outputs, 1).to(v.dtype), state
