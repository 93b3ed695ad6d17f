"""The product with a SiLU gate, of channel mixers and of Mamba's output."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_rows
from torch import Tensor

BACKENDS = discover(__name__)


def swiglu(gate: Tensor, up: Tensor, *, backend: str | None = None) -> Tensor:
    """SiLU(gate) · up, where SiLU(g) = g / (1 + exp(−g)).

    Differentiable in both. Half precision is computed in float32, so the dtypes may differ; a
    gradient has the dtype of its input.

    Args:
        gate: [..., D], also a part of a larger tensor's last dimension.
        up: [..., D] like gate.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The product [..., D] in the gate's dtype.

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Shazeer, GLU Variants Improve Transformer (arXiv 2002.05202).

    >>> import torch
    >>> swiglu(torch.tensor([0.0, 100.0]), torch.tensor([7.0, 0.5])).tolist()
    [0.0, 50.0]
    """
    check_rows("swiglu", gate=gate, up=up)
    return compute("swiglu", BACKENDS, backend, gate, up)
