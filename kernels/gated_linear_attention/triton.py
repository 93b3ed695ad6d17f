"""Gated linear attention in Triton: chunk by chunk on matrix units, forward and backward.

docs/kernels-triton.md has the equations; `lengthwise.kernels.gpu_linear` chooses the launches.
"""

from typing import Any

from lengthwise.kernels import gpu_linear
from torch import Tensor

PREFERENCE = 30


def refusal(*args: Any) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, head sizes up to 256."""
    return gpu_linear.refusal(*args[:-1])


def compute(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    return gpu_linear.apply(q, k, v, None, log_decay, initial_state, scale)
