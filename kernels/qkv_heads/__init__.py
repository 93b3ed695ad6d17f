"""A joint projection cut into heads, their queries and keys scaled to unit length."""

from lengthwise.kernels.backends import compute, discover
from torch import Tensor

BACKENDS = discover(__name__)


def qkv_heads(
    qkv: Tensor, heads: int, *, eps: float = 1e-6, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts [q, k, v] into heads and gives each head's q and k unit length, x / √(Σ x² + eps).

    One pass, also on the way back, where the three gradients become that of qkv. Differentiable;
    half precision is computed in float32.

    Args:
        qkv: [..., 3·H·K], all heads' queries before all keys before all values.
        heads: H.
        eps: added to the squared lengths.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        q, k and v [..., H, K] in qkv's dtype.

    Raises:
        ValueError: the last dimension cannot be cut so.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> q, k, v = qkv_heads(torch.tensor([0.0, 5.0, 2.0, 0.0, 3.0, 4.0]), 1)
    >>> [each.round(decimals=3).tolist() for each in (q, k, v)]
    [[[0.0, 1.0]], [[1.0, 0.0]], [[3.0, 4.0]]]
    """
    if heads < 1 or not qkv.dim() or not qkv.shape[-1] or qkv.shape[-1] % (3 * heads):
        raise ValueError(
            f"qkv_heads: qkv must be [..., 3·H·K] for {heads} heads, not {list(qkv.shape)}"
        )
    return compute("qkv_heads", BACKENDS, backend, qkv, heads, eps)
