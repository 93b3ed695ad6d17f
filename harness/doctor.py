"""What this machine can use, and why not the rest."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch
from lengthwise import kernels
from lengthwise.kernels import native


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    usable: bool
    detail: str


def examine() -> list[Finding]:
    """Looks at the interpreter, torch, the processor, GPUs, compilers, and each backend."""
    return [
        Finding("Python", True, platform.python_version()),
        Finding("torch", True, torch.__version__),
        Finding("processor", True, f"{os.cpu_count()} cores, {_vector_width()}"),
        _gpu(),
        _triton(),
        _compiler(),
        _native(),
        *(
            Finding(f"operator {name}", True, f"backends: {', '.join(backends)}")
            for name, backends in kernels.operators().items()
        ),
    ]


def _vector_width() -> str:
    return f"torch uses {torch.backends.cpu.get_cpu_capability()}"


def _gpu() -> Finding:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        return Finding("GPU", True, ", ".join(names))
    if torch.version.cuda is None:
        return Finding("GPU", False, "this torch was built without CUDA; runs use the CPU")
    return Finding("GPU", False, "torch finds no NVIDIA GPU or driver; runs use the CPU")


def _triton() -> Finding:
    try:
        return Finding("triton", True, version("triton"))
    except PackageNotFoundError:
        return Finding("triton", False, "not installed; `pip install 'lengthwise[gpu]'` on Linux")


def _compiler() -> Finding:
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    if found:
        return Finding("C++ compiler", True, found)
    return Finding("C++ compiler", False, "none of c++, g++, clang++ on the path")


def _native() -> Finding:
    if native.LIBRARY is None:
        return Finding("CPU kernels", False, f"{native.MISSING}; the chunked backends compute")
    name = {8: "AVX2", 16: "AVX-512"}[native.LIBRARY.lengthwise_lanes()]
    return Finding("CPU kernels", True, f"compiled for {name}; they compute in float32")
