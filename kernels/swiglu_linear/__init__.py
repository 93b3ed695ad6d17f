"""The product with a SiLU gate and the projection behind it, as one operator."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_rows
from torch import Tensor

BACKENDS = discover(__name__)


def swiglu_linear(
    gate: Tensor, up: Tensor, weight: Tensor, *, backend: str | None = None
) -> Tensor:
    """(SiLU(gate) · up) weightᵀ over the last dimension.

    As `linear` behind `swiglu`. On a GPU, in half precision and where the weight is small, the
    product is formed where it is multiplied, forward and backward, and never written.

    Args:
        gate: [..., D], also a part of a larger tensor's last dimension.
        up: [..., D] like gate.
        weight: [O, D].
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        [..., O], in the gate's dtype or in autocast's where it is enabled.

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Shazeer, GLU Variants Improve Transformer (arXiv 2002.05202).

    >>> import torch
    >>> gate, up = torch.tensor([0.0, 100.0]), torch.tensor([7.0, 0.5])
    >>> swiglu_linear(gate, up, torch.tensor([[3.0, 1.0]]))
    tensor([50.])
    """
    check_rows("swiglu_linear", gate=gate, up=up)
    if weight.dim() != 2 or weight.shape[1] != gate.shape[-1]:
        raise ValueError(
            f"swiglu_linear: weight must be [O, D] with D = {gate.shape[-1]} as in gate, "
            f"not {list(weight.shape)}"
        )
    rows = (each.reshape(-1, each.shape[-1]) for each in (gate, up))
    output = compute("swiglu_linear", BACKENDS, backend, *rows, weight)
    return output.view(*gate.shape[:-1], weight.shape[0])
