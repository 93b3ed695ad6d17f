"""Causal softmax attention: torch's own kernel, taught to run a stack of members as one call."""

from typing import Any

import torch
import torch.nn.functional as F
from lengthwise.kernels.backends import record
from lengthwise.kernels.members import join, part
from torch import Tensor

LIBRARY = torch.library.Library("lengthwise", "FRAGMENT")
LIBRARY.define("attend(Tensor q, Tensor k, Tensor v, Tensor? bias, bool causal) -> Tensor")


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None, causal: bool = False
) -> Tensor:
    """softmax(q kᵀ / √K + bias) v, by `torch.nn.functional.scaled_dot_product_attention`.

    torch has no vmap rule for it and would loop over the members; here they join the batch.

    Args:
        q: queries [B, H, T, K].
        k: keys [B, H, S, K].
        v: values [B, H, S, V].
        bias: added to the logits [H, T, S] or [T, S], −inf where a key is hidden; the same for
            all members.
        causal: hide key j from query i where j > i; without a bias only, and with S = T.

    Returns:
        The output [B, H, T, V].

    >>> q = torch.zeros(1, 1, 2, 4)
    >>> softmax_attention(q, q, torch.tensor([[[[2.0], [4.0]]]]), causal=True).flatten().tolist()
    [2.0, 3.0]
    """
    record("softmax_attention", "scaled_dot_product_attention")
    return torch.ops.lengthwise.attend(q, k, v, bias, causal)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)


def _attend_stacked(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
    *tensors, bias, causal = args
    if in_dims[3] is not None:
        raise ValueError("softmax_attention: the bias must be the same for all members")
    members = info.batch_size
    joined = [join(each, dim, members) for each, dim in zip(tensors, in_dims, strict=False)]
    return part(torch.ops.lengthwise.attend(*joined, bias, causal), members), 0


# An implicit composite: autograd differentiates through it, so no backward of ours is needed.
LIBRARY.impl("attend", _attend, "CompositeImplicitAutograd")
torch.library.register_vmap("lengthwise::attend", _attend_stacked, lib=LIBRARY)
