"""The compiled CPU kernels: where their library is, whether it fits this machine, how it is called.

`setup.py` compiles every `kernels/*/avx2.cpp` into one shared library when the package is
installed. Where there is none, `MISSING` says why and the other backends compute.
"""

import ctypes
from pathlib import Path

import torch
from lengthwise.kernels.registration import UNDIFFERENTIABLE, inside_derivative
from lengthwise.kernels.sources import digest, sources
from torch import Tensor

FOLDER = Path(__file__).parent


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
    if inside_derivative():
        return UNDIFFERENTIABLE
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != "cpu":
            return f"it computes on the CPU, not on {tensor.device.type}"
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return f"it computes in float32, not in {str(tensor.dtype).removeprefix('torch.')}"
    return None


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
