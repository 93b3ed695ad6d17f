"""Joining the members of a stack to the dimension in front of them, for our vmap rules."""

from torch import Tensor


def join(tensor: Tensor, dim: int | None, members: int) -> Tensor:
    """Puts a mapped dimension, or as many copies as there are members, into the first dimension.

    >>> import torch
    >>> join(torch.zeros(5, 3, 7), 1, 3).shape, join(torch.zeros(5, 7), None, 3).shape
    (torch.Size([15, 7]), torch.Size([15, 7]))
    """
    stacked = tensor.expand(members, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return stacked.flatten(0, 1)


def part(tensor: Tensor, members: int) -> Tensor:
    """Undoes `join`: the members are dimension 0 again."""
    return tensor.unflatten(0, (members, -1))


def alone(*tensors: Tensor | None) -> list[Tensor | None]:
    """A stack of one member."""
    return [None if each is None else each[None] for each in tensors]
