"""The gated delta rule in Triton: chunk by chunk on matrix units, forward and backward.

docs/kernels-triton.md has the equations; `lengthwise.kernels.gpu_linear` chooses the launches.
"""

from typing import Any

from lengthwise.kernels import gpu_linear

PREFERENCE = 30


def refusal(*args: Any) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, head sizes up to 256."""
    return gpu_linear.refusal(*args[:-1])


compute = gpu_linear.apply
