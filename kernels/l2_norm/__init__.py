"""Rows as unit vectors."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_rows
from torch import Tensor

BACKENDS = discover(__name__)


def l2_norm(x: Tensor, *, eps: float = 1e-6, backend: str | None = None) -> Tensor:
    """Scales each row to length 1.

        y = x / √(Σx² + eps)

    Differentiable; eps keeps the gradient of a row of zeros finite. Half precision is computed in
    float32.

    Args:
        x: rows [..., D].
        eps: added to the squared length.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        y [..., D] in x's dtype.

    Raises:
        ValueError: x is a number.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> l2_norm(torch.tensor([[0.0, 5.0], [0.0, 0.0]])).round(decimals=3).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    check_rows("l2_norm", x=x)
    return compute("l2_norm", BACKENDS, backend, x, eps)
