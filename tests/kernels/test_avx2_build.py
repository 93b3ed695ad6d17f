"""How the compiled library is built, found and refused, and what the sanitizers say of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lengthwise.kernels import BackendUnavailableError, native, session

from tests.kernels.avx2_calls import needs_library, scan, scan_inputs

WIDE = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
BUILDS = {
    "avx2": ["-mavx2", "-mfma"],
    # The last: GCC 12 warns of its own AVX-512 header.
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-Wno-maybe-uninitialized"],
}


@needs_library
def test_float64_is_refused_with_the_reason_and_computed_elsewhere() -> None:
    inputs = [each.double() for each in scan_inputs(1, 3, 2, 2)]
    with pytest.raises(BackendUnavailableError, match="in float32, not in float64"):
        scan(inputs)
    with session() as entered:
        scan(inputs, None)
    assert entered.chosen == {"selective_scan": {"chunked"}}


def test_a_missing_library_is_named_and_the_chunked_scan_computes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inputs = scan_inputs(1, 3, 2, 2)
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    library, missing = native.find()
    assert library is None
    monkeypatch.setattr(native, "MISSING", missing)
    with pytest.raises(BackendUnavailableError, match="was not built"):
        scan(inputs)
    with session() as entered:
        scan(inputs, None)
    assert entered.chosen == {"selective_scan": {"chunked"}}


@needs_library
def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "digest", lambda _: 1)
    assert "other sources" in str(native.find()[1])


def test_a_processor_without_avx2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert "no AVX2 (torch uses DEFAULT)" in str(native.find()[1])


@needs_library
@pytest.mark.skipif(not WIDE, reason="no AVX-512 here, so the AVX2 build is what all tests use")
def test_the_narrower_build_passes_too() -> None:
    files = ("test_operators.py", "test_avx2.py", "test_avx2_heads.py")
    tests = [str(Path(__file__).with_name(name)) for name in files]
    program = (
        "import sys, pytest; from lengthwise.kernels import native;"
        "assert native.LIBRARY.lengthwise_lanes() == 8;"
        "sys.exit(pytest.main(['-q', *sys.argv[1:], '-k', 'avx2']))"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, "-c", program, *tests]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_library
@pytest.mark.skipif(
    not WIDE, reason="no AVX-512 here, so there is no wider build to fall back from"
)
@pytest.mark.parametrize("wider", [None, b"", "stale"])
def test_a_missing_broken_or_stale_wider_build_leaves_the_other_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wider: bytes | str | None
) -> None:
    assert native.LIBRARY is not None
    built_from = native.LIBRARY.lengthwise_sources()
    narrow = (native.FOLDER / "libavx2.x86_64.so").read_bytes()
    (tmp_path / "libavx2.x86_64.so").write_bytes(narrow)
    if wider is not None:
        copy = tmp_path / "libavx512.x86_64.so"
        copy.write_bytes(wider if isinstance(wider, bytes) else _of_others(narrow, built_from))
    monkeypatch.setattr(native, "sources", lambda _: ["any"])
    monkeypatch.setattr(native, "digest", lambda _: built_from)
    library, missing = native.find()
    assert missing is None
    assert library is not None

    monkeypatch.setattr(native, "FOLDER", tmp_path)
    library, missing = native.find()
    assert missing is None
    assert library is not None
    assert library.lengthwise_lanes() == 8


def _of_others(library: bytes, built_from: int) -> bytes:
    """The library as if built from other sources."""
    mine = built_from.to_bytes(8, "little")
    assert library.count(mine) == 1
    return library.replace(mine, (1).to_bytes(8, "little"))


@pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="no AVX2 here")
@pytest.mark.parametrize("build", ["avx2", "avx512"])
def test_the_sanitizers_find_nothing_and_the_compiler_warns_of_nothing(
    tmp_path: Path, build: str
) -> None:
    if build == "avx512" and not WIDE:
        pytest.skip("no AVX-512 here")
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no g++ and no clang++ here")
    flags = ["-std=c++17", "-O1", *BUILDS[build], "-pthread", "-Wall", "-Wextra", "-Werror"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = tmp_path / "driver"
    source = Path(__file__).with_name("avx2_driver.cpp")
    built = subprocess.run(
        [compiler, *flags, *checks, str(source), "-o", str(program)], capture_output=True, text=True
    )
    if "cannot find" in built.stderr:
        pytest.skip("this compiler came without its sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "clean\n"), ran.stderr
