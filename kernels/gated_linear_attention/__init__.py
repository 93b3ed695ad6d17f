"""(Gated) linear attention: a sum of outer products under no, scalar or per-channel decay."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def gated_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    scale: float | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Decays the state, adds each key–value product, and reads it with each query.

        S ← diag(exp(log_decay_t)) S + k_t v_tᵀ;   o_t = scale · Sᵀ q_t

    Differentiable in every tensor. Half-precision inputs keep a float32 state. Nothing is
    normalised here.

    Args:
        q: queries [B, T, H, K].
        k: keys [B, T, H, K].
        v: values [B, T, H, V].
        log_decay: logarithm of the decay, ≤ 0: [B, T, H] a head, [B, T, H, K] a key channel,
            None for none (plain linear attention).
        initial_state: the state before the first token [B, H, K, V]; None for zeros.
        scale: factor on the read-out; K^(−1/2) unless given.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, T, H, V] in v's dtype and the final state [B, H, K, V].

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Yang et al., Gated Linear Attention (arXiv 2312.06635), equation 3; without decay,
    Katharopoulos et al., Transformers are RNNs (arXiv 2006.16236).

    >>> import torch
    >>> ones = torch.ones(1, 3, 1, 1)
    >>> gated_linear_attention(ones, ones, ones, scale=1.0)[0].flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    per_channel = log_decay is not None and log_decay.dim() == 4
    check_shapes(
        "gated_linear_attention",
        q=(q, "B T H K"),
        k=(k, "B T H K"),
        v=(v, "B T H V"),
        log_decay=(log_decay, "B T H K" if per_channel else "B T H"),
        initial_state=(initial_state, "B H K V"),
    )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return compute(
        "gated_linear_attention", BACKENDS, backend, q, k, v, log_decay, initial_state, scale
    )
