"""The gated delta rule in Triton: chunk by chunk on matrix units, forward and backward.

docs/kernels-triton.md has the equations; `lengthwise.kernels.gpu_linear` chooses the launches.
"""

from lengthwise.kernels import gpu, gpu_linear
from torch import Tensor

PREFERENCE = 30


def refusal(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,  # noqa: ARG001
) -> str | None:
    """Computes half and single precision on an NVIDIA GPU, head sizes up to 256."""
    if max(q.shape[-1], v.shape[-1]) > gpu.LARGEST_HEAD:
        return f"head sizes go up to {gpu.LARGEST_HEAD}"
    return gpu.refusal(q, k, v, beta, log_decay, initial_state)


compute = gpu_linear.apply
