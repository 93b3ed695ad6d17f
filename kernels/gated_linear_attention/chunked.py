"""Gated linear attention chunk by chunk, in torch matrix products: any device, differentiable.

With G the cumulative log-decay inside a chunk of C tokens,

    o_i = scale (S₀ᵀ (exp(G_i) q_i) + Σ_{j ≤ i} (q_i · exp(G_i − G_j) k_j) v_j)
    S_C = exp(G_C) S₀ + Σ_j exp(G_C − G_j) k_j v_jᵀ

(Yang et al., arXiv 2312.06635, section 4).

A decay a channel stands inside the inner product. Its differences G_i − G_j are formed directly,
[C, C, K] numbers a chunk, so that neither factor can overflow; that is why its chunks are short.
"""

import torch
from lengthwise.kernels.chunks import decay_between, from_chunks, to_chunks
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 10
CHUNK_SIZE = 64
CHANNEL_CHUNK_SIZE = 16


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
    batch, length, heads, key_size = q.shape
    per_channel = log_decay is not None and log_decay.dim() == 4
    size = min(CHANNEL_CHUNK_SIZE if per_channel else CHUNK_SIZE, length)
    queries, keys, values = (to_chunks(each.to(dtype), size) for each in (q * scale, k, v))
    if log_decay is None:
        scores = (queries @ keys.mT).tril()
        whole = torch.ones((), dtype=dtype, device=q.device).expand(keys.shape[2])
        whole = whole[:, None, None]
    else:
        cumulative = to_chunks(log_decay.to(dtype), size).cumsum(3)
        if per_channel:
            between = decay_between(cumulative.mT).movedim(-3, -1)
            scores = torch.einsum("...ik,...jk,...ijk->...ij", queries, keys, between)
        else:
            scores = queries @ keys.mT * decay_between(cumulative)
            cumulative = cumulative[..., None]
        queries = cumulative.exp() * queries
        keys = (cumulative[..., -1:, :] - cumulative).exp() * keys
        whole = cumulative[..., -1, :, None].exp()

    if initial_state is None:
        initial_state = q.new_zeros(batch, heads, key_size, v.shape[-1])
    state = initial_state.to(dtype)
    added = keys.mT @ values
    states: list[Tensor] = []
    for n in range(keys.shape[2]):
        states.append(state)
        decay = whole[n] if log_decay is None else whole[:, :, n]
        state = decay * state + added[:, :, n]
    output = queries @ torch.stack(states, 2) + scores @ values
    return from_chunks(output, length).to(v.dtype), state
