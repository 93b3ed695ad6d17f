"""The Triton kernels: whether they can take a call, and what every launch of them shares.

Triton is imported when the first kernel is launched, not before: a CPU never pays for it. With
TRITON_INTERPRET=1 in the environment at that moment, Triton's interpreter runs the same kernels
on CPU tensors, slowly; the tests use it.
"""

import importlib.util
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

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


class Planned(NamedTuple):
    """A launch that waits for the others of its call."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]
    options: dict[str, Any]
    """Constants, warps and stages."""
    later: bool

    @property
    def variant(self) -> Hashable:
        """What the kernel is compiled for, nearly: it also tells numbers divisible by 16."""
        dtypes = [getattr(each, "dtype", None) for each in self.args]
        return self.kernel, *dtypes, *self.options.items()

    def compile(self) -> None:
        # `run` brings the host's side of the launch, compiled from C.
        _ = self.kernel.warmup(*self.args, grid=self.grid, **self.options).run

    def start(self) -> None:
        self.kernel[self.grid](*self.args, **self.options)


_variants: set[Hashable] = set()


@contextmanager
def launching(tensor: Tensor) -> Iterator[Callable[..., Callable[..., None]]]:
    """Yields a `launch` whose launches begin, in order, when the block ends; none if it fails.

    Variants met for the first time compile side by side before: a kernel takes 1 to 2 s, most of
    it outside the interpreter lock. A launch for `later` compiles with them and does not begin: a
    forward call so names what takes longest in its backward call.
    """
    planned: list[Planned] = []

    def launch(
        kernel: Any, *grid: int, warps: int, stages: int = 3, later: bool = False
    ) -> Callable[..., None]:
        def plan(*args: Any, **constants: Any) -> None:
            options = constants | {"num_warps": warps, "num_stages": stages}
            planned.append(Planned(kernel, grid, args, options, later))

        return plan

    yield launch
    if len(planned) > 1:
        _compile(tensor, planned)
    with on(tensor):
        for each in planned:
            if not each.later:
                each.start()


def differentiated(*tensors: Tensor | None) -> bool:
    """Whether a backward call may follow."""
    return any(each is not None and each.requires_grad for each in tensors)


def _compile(tensor: Tensor, planned: Iterable[Planned]) -> None:
    """Compiles those variants that are new, unless it is one: that compiles at its launch."""
    new = {variant: each for each in planned if (variant := each.variant) not in _variants}
    if len(new) > 1 and not interpreted():
        with ThreadPoolExecutor(len(new)) as pool:
            list(pool.map(partial(_compile_on, tensor), new.values()))
    _variants.update(new)


def _compile_on(tensor: Tensor, planned: Planned) -> None:
    with on(tensor):
        planned.compile()
