"""The projection: one matrix product for all leading dimensions, a stack of members as one."""

from lengthwise.kernels.backends import compute, discover
from torch import Tensor

BACKENDS = discover(__name__)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """x weightᵀ + bias over the last dimension.

    Differentiable in every tensor. The leading dimensions are joined first: stacked members then
    multiply as one batched matrix product, where vmap over the unjoined form copies the weight for
    every example.

    Args:
        x: [..., D].
        weight: [O, D].
        bias: [O]; None for none.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        [..., O], in x's dtype or in autocast's where it is enabled.

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0]))
    tensor([[16.]])
    """
    if weight.dim() != 2 or x.shape[-1:] != weight.shape[-1:]:
        raise ValueError(
            f"linear: x must be [..., D] and weight [O, D], not {list(x.shape)} and "
            f"{list(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"linear: bias must be [O] = {list(weight.shape[:1])}, not {list(bias.shape)}"
        )
    output = compute("linear", BACKENDS, backend, x.reshape(-1, x.shape[-1]), weight, bias)
    return output.view(*x.shape[:-1], weight.shape[0])
