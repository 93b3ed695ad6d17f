"""The (gated) delta rule: the state update of DeltaNet and Gated DeltaNet."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    scale: float | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Decays the state, corrects what it holds under each key, and reads it with each query.

        S ← exp(log_decay_t) S;   S ← S + beta_t k_t (v_t − Sᵀ k_t)ᵀ;   o_t = scale · Sᵀ q_t

    Differentiable in every tensor. Half-precision inputs keep a float32 state. Nothing is
    normalised here: callers that want unit keys normalise them.

    Args:
        q: queries [B, T, H, K].
        k: keys [B, T, H, K].
        v: values [B, T, H, V].
        beta: writing strengths [B, T, H], in [0, 1], or up to 2 for negative eigenvalues.
        log_decay: logarithm of the decay [B, T, H], ≤ 0; None for none (DeltaNet).
        initial_state: the state before the first token [B, H, K, V]; None for zeros.
        scale: factor on the read-out; K^(−1/2) unless given.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, T, H, V] in v's dtype and the final state [B, H, K, V].

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Yang et al., Gated Delta Networks (arXiv 2412.06464), equation 10.

    >>> import torch
    >>> key = torch.tensor([0.6, 0.8]).expand(1, 2, 1, 2)
    >>> value = torch.tensor([[1.0], [5.0]]).view(1, 2, 1, 1)
    >>> output, _ = gated_delta_rule(key, key, value, torch.ones(1, 2, 1), scale=1.0)
    >>> [round(each, 4) for each in output.flatten().tolist()]  # the second write replaces
    [1.0, 5.0]
    """
    check_shapes(
        "gated_delta_rule",
        q=(q, "B T H K"),
        k=(k, "B T H K"),
        v=(v, "B T H V"),
        beta=(beta, "B T H"),
        log_decay=(log_decay, "B T H"),
        initial_state=(initial_state, "B H K V"),
    )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return compute(
        "gated_delta_rule", BACKENDS, backend, q, k, v, beta, log_decay, initial_state, scale
    )
