"""Cutting [B, T, H, ...] tensors into chunks of tokens, and decays between positions of a chunk."""

import torch
import torch.nn.functional as F
from torch import Tensor


def to_chunks(tensor: Tensor, chunk_size: int) -> Tensor:
    """[B, T, H, ...] → [B, H, N, C, ...], zero-padded at the end to a whole number of chunks.

    >>> to_chunks(torch.zeros(2, 5, 3, 7), 4).shape
    torch.Size([2, 3, 2, 4, 7])
    """
    length = tensor.shape[1]
    padding = -length % chunk_size
    if padding:
        tensor = F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, padding))
    tensor = tensor.transpose(1, 2)
    return tensor.reshape(*tensor.shape[:2], -1, chunk_size, *tensor.shape[3:])


def from_chunks(tensor: Tensor, length: int) -> Tensor:
    """[B, H, N, C, D] → [B, T, H, D], the padding cut off."""
    return tensor.flatten(2, 3)[:, :, :length].transpose(1, 2)


def decay_between(cumulative: Tensor) -> Tensor:
    """exp(G_i − G_j) for j ≤ i and 0 above the diagonal: [..., C] → [..., C, C].

    The difference of logarithms is masked before it is exponentiated: above the diagonal it is
    positive and could overflow, and a quotient of two exponentials would underflow to 0/0.
    """
    size = cumulative.shape[-1]
    difference = cumulative[..., :, None] - cumulative[..., None, :]
    above = torch.ones(size, size, dtype=torch.bool, device=cumulative.device).triu(1)
    return difference.masked_fill(above, -torch.inf).exp()
