"""Root mean square normalisation of rows, weighted and gated."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_rows
from torch import Tensor

BACKENDS = discover(__name__)


def rms_norm(
    x: Tensor,
    weight: Tensor | None = None,
    *,
    gate: Tensor | None = None,
    eps: float = 1e-6,
    backend: str | None = None,
) -> Tensor:
    """Scales each row to a root mean square of 1.

        y = x / √(mean(x²) + eps) · weight · SiLU(gate)

    Differentiable in every tensor. Half precision is computed in float32, so weight and gate may
    have another dtype than x; a gradient has the dtype of its input.

    Args:
        x: rows [..., D].
        weight: [D]; None for ones.
        gate: [..., D] like x; None for no gate.
        eps: added to the mean, so that a row of zeros stays one.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        y [..., D] in x's dtype.

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization (arXiv 1910.07467).

    >>> import torch
    >>> weight = torch.tensor([5.0, 10.0, 1.0, 1.0])
    >>> rms_norm(torch.tensor([3.0, 4.0, 0.0, 0.0]), weight).round(decimals=3).tolist()
    [6.0, 16.0, 0.0, 0.0]
    """
    check_rows("rms_norm", x=x, gate=gate)
    if weight is not None and weight.shape != x.shape[-1:]:
        raise ValueError(
            f"rms_norm: weight must be [D] = {list(x.shape[-1:])}, not {list(weight.shape)}"
        )
    return compute("rms_norm", BACKENDS, backend, x, weight, gate, eps)
