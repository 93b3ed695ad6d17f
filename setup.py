"""Maps the top-level folders onto the packages lengthwise.tasks, lengthwise.kernels, …

It also compiles the AVX2 kernels into one library. That is optional: without a compiler, or on
another processor, the package installs without it and `lengthwise doctor` says so.
All other metadata stands in pyproject.toml; only what is computed here cannot be written there.
"""

import platform
import runpy
from pathlib import Path

from setuptools import Extension, find_packages, setup

HOUSE = ("tasks", "architectures", "kernels", "harness")
CODE = runpy.run_path("kernels/sources.py")
FILES = [path.as_posix() for path in CODE["sources"](Path("kernels"))]
AVX2 = Extension(
    "lengthwise.kernels._avx2",  # no Python module: ctypes loads it, see kernels/native.py
    sources=[file for file in FILES if file.endswith(".cpp")],
    depends=FILES,
    define_macros=[("LENGTHWISE_SOURCES", str(CODE["digest"](Path("kernels"))))],
    extra_compile_args=["-std=c++17", "-O3", "-mavx2", "-mfma", "-pthread"],
    extra_link_args=["-pthread"],
    language="c++",
    optional=True,
)

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
    package_data={"": ["py.typed", "*.html", "*.css"]},
    ext_modules=[AVX2] if platform.machine() in ("x86_64", "AMD64") else [],
)
