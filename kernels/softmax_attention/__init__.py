"""Softmax attention: torch's own kernels, and ours for causal sequences that are not long."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    causal: bool = False,
    backend: str | None = None,
) -> Tensor:
    """softmax(q kᵀ / √K + bias) v, differentiable in q, k and v.

    Under autocast it is computed in autocast's dtype.

    Args:
        q: queries [B, H, T, K].
        k: keys [B, H, S, K].
        v: values [B, H, S, V].
        bias: added to the logits [H, T, S] or [T, S], −inf where a key is hidden; the same for
            all members of a stack.
        causal: hide key j from query i where j > i; without a bias only, and with S = T.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, H, T, V].

    Raises:
        ValueError: shapes that contradict each other, or causal with a bias or with S ≠ T.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> q = torch.zeros(1, 1, 2, 4)
    >>> softmax_attention(q, q, torch.tensor([[[[2.0], [4.0]]]]), causal=True).flatten().tolist()
    [2.0, 3.0]
    """
    sizes = check_shapes("softmax_attention", q=(q, "B H T K"), k=(k, "B H S K"), v=(v, "B H S V"))
    if causal and bias is not None:
        raise ValueError("softmax_attention: causal goes without a bias; hide keys by −inf in it")
    if causal and sizes["S"] != sizes["T"]:
        raise ValueError(
            f"softmax_attention: causal needs as many keys as queries, not S = {sizes['S']} and "
            f"T = {sizes['T']}; give a bias that hides keys"
        )
    return compute("softmax_attention", BACKENDS, backend, q, k, v, bias, causal)
