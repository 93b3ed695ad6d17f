"""The root mean square norm in Triton: one pass over the rows forward, one backward."""

from lengthwise.kernels.gpu_norm import normalize, refusal
from torch import Tensor

__all__ = ["PREFERENCE", "compute", "refusal"]

PREFERENCE = 30


def compute(x: Tensor, weight: Tensor | None, gate: Tensor | None, eps: float) -> Tensor:
    return normalize(x, weight, gate, eps, mean=True)
