"""AdamW in Triton: one pass over everything, after one over the gradients where they are clipped.

The kernels are in `lengthwise.kernels.gpu_adamw`.
"""

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import launch, on
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
    from lengthwise.kernels.gpu_adamw import update

    gradients = gradients.contiguous()
    members, size = parameters.shape
    squares = None if clip is None else _squares(gradients)
    settings = (each.contiguous() for each in (decayed, lr, weight_decay, beta1, beta2))
    with on(parameters):
        launch(update, ceil_div(size, BLOCK), members, warps=4)(
            parameters, gradients, first_moments, second_moments, *settings, step,
            None if clip is None else clip.contiguous(), squares, size, eps,
            CLIP=clip is not None, SHARES=SHARES, BLOCK=BLOCK,
        )  # fmt: skip
    torch.autograd.graph.increment_version((parameters, first_moments, second_moments))


def _squares(gradients: Tensor) -> Tensor:
    """Each member's sums of squares [P, SHARES] over as many parts of its gradient."""
    from lengthwise.kernels.gpu_adamw import sum_squares

    members, size = gradients.shape
    steps = ceil_div(size, SHARES * BLOCK)
    squares = gradients.new_empty(members, SHARES, dtype=torch.float32)
    with on(gradients):
        launch(sum_squares, SHARES, members, warps=4)(
            gradients, squares, size, steps, SHARES=SHARES, BLOCK=BLOCK
        )
    return squares
