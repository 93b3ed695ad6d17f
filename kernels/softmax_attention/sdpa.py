"""Softmax attention by torch's own kernels, taught to run a stack of members as one call.

torch has no vmap rule for `scaled_dot_product_attention` and would loop over the members; here they
join the batch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from lengthwise.kernels.members import join, part
from lengthwise.kernels.registration import OPERATORS
from torch import Tensor

PREFERENCE = 10

OPERATORS.define("attend(Tensor q, Tensor k, Tensor v, Tensor? bias, bool causal) -> Tensor")


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
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
OPERATORS.impl("attend", _attend, "CompositeImplicitAutograd")
torch.library.register_vmap("lengthwise::attend", _attend_stacked, lib=OPERATORS)
