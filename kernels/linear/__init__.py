"""The projection: one matrix product for all leading dimensions, a stack of members as one."""

from collections.abc import Sequence

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
    _check("linear", x, weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"linear: bias must be [O] = {list(weight.shape[:1])}, not {list(bias.shape)}"
        )
    return _apply(x, weight, bias, [weight.shape[0]], backend)[0]


def linear_parts(
    x: Tensor,
    weight: Tensor,
    sizes: Sequence[int],
    *,
    onward: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, ...]:
    """x weightᵀ, cut into parts of the given sizes along the last dimension.

    As `linear`, with the same backends. On a GPU the parts' gradients are read where they lie:
    joining them first, as the gradient of a cut does, would move each once more. Where something
    else reads x too, it may read the one that comes back `onward`: its gradient is then added in
    the pass that makes this one, not in another.

    Args:
        x: [..., D].
        weight: [O, D].
        sizes: of the parts; their sum is O.
        onward: whether x comes back as well.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        One [..., size] a part, in the dtype that `linear` gives, and x behind them if asked for.

    Raises:
        ValueError: shapes or sizes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> weight = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 1.0]])
    >>> [each.tolist() for each in linear_parts(torch.tensor([[1.0, 2.0]]), weight, [1, 2])]
    [[[11.0]], [[1.0, 2.0]]]
    """
    _check("linear_parts", x, weight)
    if min(sizes, default=0) < 1 or sum(sizes) != weight.shape[0]:
        raise ValueError(
            f"linear_parts: sizes must be positive and add up to O = {weight.shape[0]}, "
            f"not {list(sizes)}"
        )
    return _apply(x, weight, None, sizes, backend, onward=onward)


def _check(operator: str, x: Tensor, weight: Tensor) -> None:
    if weight.dim() != 2 or x.shape[-1:] != weight.shape[-1:]:
        raise ValueError(
            f"{operator}: x must be [..., D] and weight [O, D], not {list(x.shape)} and "
            f"{list(weight.shape)}"
        )


def _apply(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sequence[int],
    backend: str | None,
    *,
    onward: bool = False,
) -> tuple[Tensor, ...]:
    rows = x.reshape(-1, x.shape[-1])
    parts = compute("linear", BACKENDS, backend, rows, weight, bias, list(sizes), onward)
    return tuple(each.view(*x.shape[:-1], each.shape[-1]) for each in parts)
