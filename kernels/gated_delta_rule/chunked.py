"""The gated delta rule chunk by chunk, in torch matrix products: any device, differentiable.

Inside a chunk of C tokens the corrections solve a unit lower triangular system (the WY or UT
form of Yang et al., arXiv 2406.06484 and 2412.06464). With G the cumulative log-decay and

    A_ij = beta_i exp(G_i − G_j) (k_i · k_j)   for j < i,

U = (I + A)⁻¹ diag(beta) V and W = (I + A)⁻¹ diag(beta exp G) K give the corrections U − W S₀, and

    o_i = scale (exp(G_i) S₀ᵀ q_i + Σ_{j ≤ i} exp(G_i − G_j) (q_i · k_j) ũ_j)
    S_C = exp(G_C) S₀ + Σ_j exp(G_C − G_j) k_j ũ_jᵀ.
"""

import torch
from lengthwise.kernels.chunks import decay_between, from_chunks, to_chunks
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 10
CHUNK_SIZE = 64


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
    batch, length, heads, key_size = q.shape
    size = min(CHUNK_SIZE, length)
    queries, keys, values = (to_chunks(each.to(dtype), size) for each in (q * scale, k, v))
    strength = to_chunks(beta.to(dtype), size)[..., None]
    weighted_keys = strength * keys
    if log_decay is None:
        between = torch.ones(size, size, dtype=dtype, device=q.device).tril()
        from_start = to_end = whole = torch.ones((), dtype=dtype, device=q.device)
    else:
        cumulative = to_chunks(log_decay.to(dtype), size).cumsum(-1)
        between = decay_between(cumulative)
        from_start = cumulative.exp()[..., None]
        to_end = (cumulative[..., -1:] - cumulative).exp()[..., None]
        whole = cumulative[..., -1, None, None].exp()

    system = (weighted_keys @ keys.mT * between).tril(-1)
    right_sides = torch.cat([strength * values, from_start * weighted_keys], -1)
    # unitriangular=True takes the diagonal as ones without reading it.
    solved = torch.linalg.solve_triangular(system, right_sides, upper=False, unitriangular=True)
    new_values, removed_keys = solved.split([v.shape[-1], key_size], -1)
    scores = queries @ keys.mT * between
    decayed_queries = from_start * queries
    decayed_keys = (to_end * keys).mT

    if initial_state is None:
        initial_state = q.new_zeros(batch, heads, key_size, v.shape[-1])
    state = initial_state.to(dtype)
    corrections: list[Tensor] = []
    reads: list[Tensor] = []
    for n in range(keys.shape[2]):
        correction = new_values[:, :, n] - removed_keys[:, :, n] @ state
        reads.append(decayed_queries[:, :, n] @ state)
        corrections.append(correction)
        decay = whole if log_decay is None else whole[:, :, n]
        state = decay * state + decayed_keys[:, :, n] @ correction
    output = torch.stack(reads, 2) + scores @ torch.stack(corrections, 2)
    return from_chunks(output, length).to(v.dtype), state
