"""A joint projection cut into heads, their queries and keys under a feature map."""

from typing import Literal, get_args

from lengthwise.kernels.backends import compute, discover
from torch import Tensor

BACKENDS = discover(__name__)

FeatureMap = Literal["unit", "elu"]


def qkv_heads(
    qkv: Tensor,
    heads: int,
    *,
    feature_map: FeatureMap,
    append_one: bool = False,
    eps: float = 1e-6,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts [q, k, v] into heads and maps each head's q and k to their features φ.

        unit: φ(x) = x / √(Σ x² + eps)      elu: φ(x) = elu(x) + 1

    One pass, also on the way back, where the three gradients become that of qkv. Differentiable;
    half precision is computed in float32.

    Args:
        qkv: [..., 3·H·K], all heads' queries before all keys before all values.
        heads: H.
        feature_map: φ.
        append_one: values are [v, 1], whose sum under weights is [Σ w v, Σ w].
        eps: added to the squared lengths; read by the map `unit` alone.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        q and k [..., H, K] and v [..., H, K], or [..., H, K + 1] with a one, in qkv's dtype.

    Raises:
        ValueError: the last dimension cannot be cut so, or an unknown feature map.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: elu: Katharopoulos et al., Transformers are RNNs (arXiv 2006.16236).

    >>> import torch
    >>> qkv = torch.tensor([0.0, 5.0, 2.0, 0.0, 3.0, 4.0])
    >>> q, k, v = qkv_heads(qkv, 1, feature_map="unit")
    >>> [each.round(decimals=3).tolist() for each in (q, k, v)]
    [[[0.0, 1.0]], [[1.0, 0.0]], [[3.0, 4.0]]]
    >>> [each.tolist() for each in qkv_heads(qkv, 1, feature_map="elu", append_one=True)]
    [[[1.0, 6.0]], [[3.0, 1.0]], [[3.0, 4.0, 1.0]]]
    """
    if heads < 1 or not qkv.dim() or not qkv.shape[-1] or qkv.shape[-1] % (3 * heads):
        raise ValueError(
            f"qkv_heads: qkv must be [..., 3·H·K] for {heads} heads, not {list(qkv.shape)}"
        )
    if feature_map not in get_args(FeatureMap):
        raise ValueError(f"qkv_heads: feature_map must be 'unit' or 'elu', not {feature_map!r}")
    return compute("qkv_heads", BACKENDS, backend, qkv, heads, feature_map, append_one, eps)
