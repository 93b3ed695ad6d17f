"""The compiled CPU kernels: where their library is, whether it fits this machine, how it is called.

`setup.py` compiles every `kernels/*/avx2.cpp` into one shared library an instruction set when the
package is installed. Where none fits, `MISSING` says why and the other backends compute.
"""

import ctypes
from pathlib import Path

import torch
from lengthwise.kernels import registration
from lengthwise.kernels.shapes import ceil_div
from lengthwise.kernels.sources import digest, sources
from torch import Tensor

FOLDER = Path(__file__).parent


def find() -> tuple[ctypes.CDLL | None, str | None]:
    """The library for this processor's widest vectors, or why none can be used."""
    capability = torch.backends.cpu.get_cpu_capability()
    if not capability.startswith(("AVX2", "AVX512")):
        return None, f"the processor has no AVX2 (torch uses {capability})"
    names = ["libavx512", "libavx2"] if capability.startswith("AVX512") else ["libavx2"]
    reasons: list[str] = []
    for path in (FOLDER / f"{name}.x86_64.so" for name in names):
        library, reason = _open(path) if path.exists() else (None, None)
        if library:
            return library, None
        if reason:
            reasons.append(reason)
    absent = "its library was not built when Lengthwise was installed (no C++ compiler?)"
    return None, reasons[0] if reasons else absent


def _open(path: Path) -> tuple[ctypes.CDLL | None, str | None]:
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
    return MISSING or registration.refusal("cpu", tensors)


def call(name: str, numbers: list[int] | list[int | float], tensors: list[Tensor | None]) -> None:
    """Calls int name(numbers…, int64 threads, float* tensors…) without the interpreter lock.

    Integers go as int64, others as double.

    Raises:
        MemoryError: the kernel found no memory to work in.
    """
    function = getattr(LIBRARY, name)
    numbers = [*numbers, torch.get_num_threads()]
    if function.argtypes is None:
        kinds = [ctypes.c_double if isinstance(n, float) else ctypes.c_int64 for n in numbers]
        function.argtypes = [*kinds, *[ctypes.c_void_p] * len(tensors)]
    pointers = [None if each is None else each.data_ptr() for each in tensors]
    if function(*numbers, *pointers):
        raise MemoryError(f"{name} found no memory for its scratch space")


def floats(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors in the precision of the kernels."""
    return [None if each is None else each.float() for each in tensors]


def value_groups(k: Tensor, v: Tensor) -> int:
    """Groups of a head's value columns for the backward pass, where threads outnumber heads.

    Of k [B, T, H, K] and v [B, T, H, V]; as many as there is work for, by the kernels' own measure.
    """
    batch, _, heads, _ = k.shape
    value_size = v.shape[-1]
    hands = min(torch.get_num_threads(), k.numel() * value_size >> 18)
    return max(1, min(hands // (batch * heads), ceil_div(value_size, 16)))


def total(*shares: Tensor) -> list[Tensor]:
    """The sum of the groups' shares, [groups, ...] each."""
    return [each[0] if len(each) == 1 else each.sum(0) for each in shares]
