"""The token embedding: rows of a table, and the sum of their gradients."""

import torch
from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def embedding(
    weight: Tensor,
    tokens: Tensor,
    *,
    dtype: torch.dtype | None = None,
    backend: str | None = None,
) -> Tensor:
    """The rows of `weight` that the tokens name.

    Differentiable in weight; its gradient, in its dtype, is summed in float32 or wider.

    Args:
        weight: the table [V, D].
        tokens: [...] int64, each in [0, V). Others raise an error on a CPU; their rows are NaN on
            a GPU, where nobody waits for an answer.
        dtype: of the output; weight's unless given.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        [..., D].

    Raises:
        ValueError: weight is not [V, D].
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> embedding(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    check_shapes("embedding", weight=(weight, "V D"))
    return compute("embedding", BACKENDS, backend, weight, tokens, dtype or weight.dtype)
