"""The projection by torch's own product: any device and dtype, autocast or not."""

import torch.nn.functional as F
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: list[int], onward: bool
) -> tuple[Tensor, ...]:
    output = F.linear(x, weight, bias)
    # Cutting into one part would copy the gradient.
    parts = (output,) if len(sizes) == 1 else output.split(sizes, -1)
    return (*parts, x) if onward else parts
