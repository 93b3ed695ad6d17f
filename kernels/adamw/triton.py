"""AdamW in Triton: one pass over everything, after one over the gradients where they are clipped.

The kernels are in `lengthwise.kernels.gpu_adamw`.
"""

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import launching
from lengthwise.kernels.registration import contiguous
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
BLOCK = 1024
"""Parameters that a program updates."""
SHARES = 256
"""Programs a member that sum squares, at most; every program of the update adds their sums up."""


def refusal(
    parameters: Tensor,
    gradients: Tensor,
    first_moments: Tensor,
    second_moments: Tensor,
    *_: object,
) -> str | None:
    """Computes in float32 on an NVIDIA GPU, parameters and moments contiguous."""
    if parameters.dtype != torch.float32:
        return "parameters must be float32"
    updated = (parameters, first_moments, second_moments)
    if not all(each.is_contiguous() for each in updated):
        return "parameters and moments must be contiguous"
    if not parameters.numel():
        return "there are no parameters"
    return gpu.refusal(*updated, gradients)


def compute(
    parameters: Tensor,
    gradients: Tensor,
    first_moments: Tensor,
    second_moments: Tensor,
    decayed: Tensor,
    lr: Tensor,
    weight_decay: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    step: Tensor,
    clip: Tensor | None,
    eps: float,
) -> None:
    from lengthwise.kernels.gpu_adamw import sum_squares, update

    members, size = parameters.shape
    gradients, *settings, clip = contiguous(  # pyright: ignore[reportAssignmentType]
        gradients, decayed, lr, weight_decay, beta1, beta2, clip
    )
    squares = None
    with launching(parameters) as launch:
        if clip is not None:
            # A sum for each of SHARES parts of a member's gradient.
            squares = parameters.new_empty(members, SHARES)
            steps = ceil_div(size, SHARES * BLOCK)
            launch(sum_squares, SHARES, members, warps=4)(
                gradients, squares, size, steps, SHARES=SHARES, BLOCK=BLOCK
            )
        launch(update, ceil_div(size, BLOCK), members, warps=4)(
            parameters, gradients, first_moments, second_moments, *settings, step, clip,
            squares, size, eps, CLIP=clip is not None, SHARES=SHARES, BLOCK=BLOCK,
        )  # fmt: skip
    torch.autograd.graph.increment_version((parameters, first_moments, second_moments))
