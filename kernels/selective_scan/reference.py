"""The selective scan, step by step as it is defined: slow, any dtype, the yardstick."""

import torch
from lengthwise.kernels.selective_scan.steps import step_sizes
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 0


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(x.dtype)
    steps = step_sizes(delta, delta_bias)
    inputs, delta, A, B, C = (each.to(dtype) for each in (x, steps, A, B, C))
    batch, length, channels = x.shape
    if initial_state is None:
        initial_state = inputs.new_zeros(batch, channels, A.shape[-1])
    state = initial_state.to(dtype)
    outputs: list[Tensor] = []
    for t in range(length):
        decay = (delta[:, t, :, None] * A).exp()
        state = decay * state + (delta[:, t] * inputs[:, t])[..., None] * B[:, t, None, :]
        outputs.append((state * C[:, t, None, :]).sum(-1))
    output = torch.stack(outputs, 1)
    if D is not None:
        output = output + D.to(dtype) * inputs
    return output.to(x.dtype), state
