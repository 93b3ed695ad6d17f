"""Unit vectors in Triton, by the kernel of the root mean square norm."""

from lengthwise.kernels import gpu_norm
from torch import Tensor

PREFERENCE = 30


def refusal(x: Tensor, eps: float) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, rows of up to 4,096 numbers."""
    return gpu_norm.refusal(x, None, None, eps)


def compute(x: Tensor, eps: float) -> Tensor:
    return gpu_norm.normalize(x, None, None, eps, mean=False)
