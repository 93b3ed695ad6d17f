"""The compiled CPU kernels: where their library is, whether it fits this machine, how it is called.

`setup.py` compiles every `kernels/*/avx2.cpp` into one shared library when the package is
installed. Where there is none, `MISSING` says why and the other backends compute.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lengthwise.kernels.members import join, part
from lengthwise.kernels.sources import digest, sources
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import forward_ad

FOLDER = Path(__file__).parent
OPERATORS = torch.library.Library("lengthwise", "FRAGMENT")


def find() -> tuple[ctypes.CDLL | None, str | None]:
    """The library, or why there is none that this machine can use."""
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith(("AVX2", "AVX512")):
        return None, f"the processor has no AVX2 (torch uses {capability})"
    path = FOLDER / "libavx2.x86_64.so"
    if not path.exists():
        return None, "its library was not built when Lengthwise was installed (no C++ compiler?)"
    try:
        library = ctypes.CDLL(str(path))
        built_from = library.lengthwise_sources
    except (OSError, AttributeError) as error:
        return None, f"its library does not load: {error}"
    built_from.restype = ctypes.c_int64
    if sources(FOLDER) and digest(FOLDER) != built_from():
        return None, "its library was built from other sources; install Lengthwise again"
    return library, None


LIBRARY, MISSING = find()


def refusal(*tensors: Tensor | None) -> str | None:
    """Why the compiled kernels cannot take these tensors, or None when they can."""
    if MISSING:
        return MISSING
    if _inside_derivative():
        return "it works neither inside torch.func.grad nor in forward-mode differentiation"
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != "cpu":
            return f"it computes on the CPU, not on {tensor.device.type}"
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return f"it computes in float32, not in {str(tensor.dtype).removeprefix('torch.')}"
    return None


def _inside_derivative() -> bool:
    """Inside grad torch's rules for custom operators fail, and they give forward mode zeros."""
    if torch.compiler.is_compiling():
        return False
    kinds = {each.key() for each in get_interpreter_stack() or ()}
    by_transform = kinds & {TransformType.Grad, TransformType.Jvp}
    return bool(by_transform) or forward_ad._current_level >= 0


def call(name: str, sizes: list[int], tensors: list[Tensor | None]) -> None:
    """Calls int name(int64 sizes…, int64 threads, float* tensors…) without the interpreter lock.

    Raises:
        MemoryError: the kernel found no memory to work in.
    """
    function = getattr(LIBRARY, name)
    integers = [ctypes.c_int64(size) for size in (*sizes, torch.get_num_threads())]
    pointers = [ctypes.c_void_p(None if each is None else each.data_ptr()) for each in tensors]
    if function(*integers, *pointers):
        raise MemoryError(f"{name} found no memory for its scratch space")


def contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors as the kernels read them: row-major and without gaps."""
    return [None if each is None else each.contiguous() for each in tensors]


def _vmap_rule(name: str) -> Callable[..., Any]:
    """The vmap rule of an operator whose tensors all begin with a dimension of members.

    A mapped dimension joins the members, and leaves them again in every output.
    """
    operator = getattr(torch.ops.lengthwise, name)

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        members = info.batch_size
        outputs = operator(
            *(
                join(each, dim, members) if isinstance(each, Tensor) else each
                for each, dim in zip(args, in_dims, strict=True)
            )
        )
        if isinstance(outputs, Tensor):
            return part(outputs, members), 0
        apart = tuple(part(each, members) for each in outputs)
        return apart, (0,) * len(apart)

    return rule


def register(
    name: str, forward: Callable[..., Any], fake: Callable[..., Any], *, last: bool = False
) -> None:
    """Gives the operator lengthwise::name, already defined, its CPU, fake and vmap rules.

    The last derivative there is gets a rule that says so: torch would take zeros for its own.
    """

    def refuse(*_: Any) -> None:
        raise NotImplementedError(
            f"{name} has no derivative of its own; use backend='chunked' for second derivatives"
        )

    OPERATORS.impl(name, forward, "CPU")
    torch.library.register_fake(f"lengthwise::{name}", fake, lib=OPERATORS)
    torch.library.register_vmap(f"lengthwise::{name}", _vmap_rule(name), lib=OPERATORS)
    if last:
        torch.library.register_autograd(f"lengthwise::{name}", refuse, lib=OPERATORS)
