"""Causal linear attention on a joint projection: a weighted mean under products of features."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def linear_attention(
    qkv: Tensor,
    heads: int,
    *,
    initial_state: Tensor | None = None,
    eps: float = 1e-6,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The mean of the values so far, weighted by φ(q_t)·φ(k_s) with φ(x) = elu(x) + 1.

        S ← S + φ(k_t) [v_t, 1]ᵀ;   [n, d] = Sᵀ φ(q_t);   y_t = n / (d + eps)

    Differentiable in both tensors. Half precision keeps a float32 state.

    Args:
        qkv: [B, T, 3·H·D], all heads' queries before all keys before all values.
        heads: H.
        initial_state: the state before the first token [B, H, D, D + 1]; None for zeros.
        eps: added to the divisor.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, T, H, D] in qkv's dtype and the final state [B, H, D, D + 1].

    Raises:
        ValueError: qkv cannot be cut so, or a state of another shape.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Katharopoulos et al., Transformers are RNNs (arXiv 2006.16236), equations 7, 18 to 20.

    >>> import torch
    >>> qkv = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 2.0, 5.0]]])  # weights 1, then 1 and 3
    >>> linear_attention(qkv, 1, eps=0.0)[0].flatten().tolist()
    [1.0, 4.0]
    """
    if heads < 1 or qkv.dim() != 3 or not qkv.shape[-1] or qkv.shape[-1] % (3 * heads):
        raise ValueError(
            f"linear_attention: qkv must be [B, T, 3·H·D] for {heads} heads, not {list(qkv.shape)}"
        )
    size = qkv.shape[-1] // (3 * heads)
    check_shapes("linear_attention", qkv=(qkv, "B T 3·H·D"))
    state = [qkv.shape[0], heads, size, size + 1]
    if initial_state is not None and list(initial_state.shape) != state:
        raise ValueError(
            f"linear_attention: initial_state must be [B, H, D, D + 1] = {state}, "
            f"not {list(initial_state.shape)}"
        )
    return compute("linear_attention", BACKENDS, backend, qkv, heads, initial_state, eps)
