"""The Triton kernels: whether they can take a call, and what every launch of them shares.

Triton is imported when the first kernel is launched, not before: a CPU never pays for it. With
TRITON_INTERPRET=1 in the environment at that moment, Triton's interpreter runs the same kernels
on CPU tensors, slowly; the tests use it.
"""

import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from lengthwise.kernels import registration
from torch import Tensor

DEVICES = ("CUDA", "CPU")
_HAS_TRITON = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton was told to interpret its kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def refusal(*tensors: Tensor | None) -> str | None:
    """Why the Triton kernels cannot take these tensors, or None when they can."""
    if not _HAS_TRITON:
        return "triton is not installed (pip install 'lengthwise[gpu]')"
    device = "cpu" if interpreted() else "cuda"
    if reason := registration.refusal(device, tensors):
        return reason
    if interpreted() and any(each is not None and each.dtype == torch.bfloat16 for each in tensors):
        return "Triton's interpreter multiplies no bfloat16"
    return None


def block(size: int, smallest: int = 16) -> int:
    """The power of two that a dimension is padded to inside a kernel.

    >>> block(3), block(48), block(64)
    (16, 64, 64)
    """
    return max(smallest, 1 << (size - 1).bit_length())


def on(tensor: Tensor) -> AbstractContextManager[object]:
    """Makes the tensor's GPU the one that kernels are launched on."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def launch(kernel: Any, *grid: int, warps: int, stages: int = 3) -> Callable[..., None]:
    """The kernel with its grid, to be called with its arguments and constants."""
    return partial(kernel[grid], num_warps=warps, num_stages=stages)
