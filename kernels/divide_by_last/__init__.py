"""Each row divided by its last number: weighted sums of [v, 1] become weighted means."""

from lengthwise.kernels.backends import compute, discover
from torch import Tensor

BACKENDS = discover(__name__)


def divide_by_last(x: Tensor, *, eps: float = 1e-6, backend: str | None = None) -> Tensor:
    """x[..., :V] / (x[..., V:] + eps).

    The normalisation of linear attention, whose x is [Σ w v, Σ w]. Differentiable; half precision
    is computed in float32.

    Args:
        x: [..., V + 1].
        eps: added to the divisor.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        [..., V] in x's dtype.

    Raises:
        ValueError: nothing is left to divide.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Katharopoulos et al., Transformers are RNNs (arXiv 2006.16236), equation 5.

    >>> import torch
    >>> divide_by_last(torch.tensor([[1.0, 3.0, 2.0], [0.0, 1.0, 4.0]]), eps=0.0).tolist()
    [[0.5, 1.5], [0.0, 0.25]]
    """
    if not x.dim() or x.shape[-1] < 2:
        raise ValueError(
            f"divide_by_last: x must be [..., V + 1] with V of at least 1, not {list(x.shape)}"
        )
    return compute("divide_by_last", BACKENDS, backend, x, eps)
