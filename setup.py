"""Maps the top-level folders onto the packages lengthwise.tasks, lengthwise.kernels, …

It also compiles the CPU kernels into one library an instruction set. That is optional: without a
compiler, or on another processor, the package installs without and `lengthwise doctor` says so.
All other metadata stands in pyproject.toml; only what is computed here cannot be written there.
"""

import platform
import runpy
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HOUSE = ("tasks", "architectures", "kernels", "harness")
X86_64 = platform.machine() in ("x86_64", "AMD64")
CODE = runpy.run_path("kernels/sources.py")
FILES = [path.as_posix() for path in CODE["sources"](Path("kernels"))]
BUILDS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"],
}


def library(name: str, flags: list[str]) -> Extension:
    """All kernels, compiled for one instruction set; no library where that fails."""
    return Extension(
        f"lengthwise.kernels.lib{name}",
        sources=[file for file in FILES if file.endswith(".cpp")],
        depends=FILES,
        define_macros=[("LENGTHWISE_SOURCES", str(CODE["digest"](Path("kernels"))))],
        extra_compile_args=["-std=c++17", "-O3", "-g0", "-fvisibility=hidden", *flags, "-pthread"],
        extra_link_args=["-pthread"],
        language="c++",
        optional=True,
    )


class BuildLibrary(build_ext):
    """Names the library so that nothing takes it for a Python module: ctypes loads it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = None  # all libraries are compiled from the same sources to the same objects

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.x86_64.so"


setup(
    packages=[
        package
        for room in HOUSE
        for package in (
            f"lengthwise.{room}",
            *(f"lengthwise.{room}.{inner}" for inner in find_packages(room)),
        )
    ],
    package_dir={f"lengthwise.{room}": room for room in HOUSE},
    include_package_data=False,
    package_data={"": ["py.typed", "*.html", "*.css"]},
    cmdclass={"build_ext": BuildLibrary},
    ext_modules=[library(*build) for build in BUILDS.items()] if X86_64 else [],
)
