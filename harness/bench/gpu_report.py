"""The report on the GPU kernels in Markdown: how far from float64, and how fast."""

import importlib.metadata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import torch
from lengthwise.harness.bench.gpu import (
    Timing,
    Workload,
    convolution_workload,
    delta_workload,
    linear_workload,
    measure,
    scan_workload,
    softmax_workload,
)
from lengthwise.harness.bench.gpu_check import TOLERANCE, Error, check_all
from lengthwise.kernels.softmax_attention.triton import LONGEST

HALF, SINGLE = torch.bfloat16, torch.float32
SHAPES = ((256, 256, 2, 64), (64, 1024, 2, 64), (1, 65536, 4, 64))
SOFTMAX_SHAPES = ((256, 256, 2, 64), (64, 1024, 2, 64), (8, 4096, 16, 128), (512, 64, 2, 32))
SCANS = ((64, 1024, 128, 16), (1, 65536, 128, 16))
Planned = tuple[Callable[[], Workload], torch.dtype, str]


def workloads() -> Iterator[Planned]:
    """What is timed: how to make it, its precision, and the backend."""
    for shape in SHAPES:
        yield lambda shape=shape: delta_workload(*shape, HALF), HALF, "triton"
    for shape in SHAPES:
        yield lambda shape=shape: linear_workload(*shape, HALF), HALF, "triton"
    for shape in SCANS:
        for dtype in (HALF, SINGLE):
            yield lambda shape=shape, dtype=dtype: scan_workload(*shape, dtype), dtype, "triton"
    yield lambda: convolution_workload(64, 1024, 128, 4, HALF), HALF, "triton"
    for shape in SOFTMAX_SHAPES:
        for backend in ("triton", "sdpa") if shape[1] <= LONGEST else ("sdpa",):
            yield lambda shape=shape: softmax_workload(*shape, HALF), HALF, backend
    for shape in SHAPES[:2]:
        yield lambda shape=shape: delta_workload(*shape, HALF), HALF, "chunked"
        yield lambda shape=shape: linear_workload(*shape, HALF), HALF, "chunked"
    yield lambda: delta_workload(*SHAPES[0], SINGLE), SINGLE, "triton"
    for decay in ("head", "channel"):
        yield lambda decay=decay: linear_workload(*SHAPES[0], HALF, decay), HALF, "triton"
    yield lambda: delta_workload(64, 1024, 2, 128, HALF), HALF, "triton"


def environment() -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "triton")
    )
    return f"{torch.cuda.get_device_name()}, {versions}, {datetime.now(UTC):%Y-%m-%d}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.3f}"


def timing_row(timing: Timing, dtype: torch.dtype) -> str:
    cells = (
        timing.operator,
        "×".join(map(str, timing.shape)),
        str(dtype).removeprefix("torch."),
        timing.backend,
        _milliseconds(timing.forward_seconds),
        _milliseconds(timing.gpu_seconds),
        str(timing.launches),
        _milliseconds(timing.wall_seconds),
        _milliseconds(timing.graph_seconds),
        f"{timing.peak_bytes / 2**20:.0f}",
        f"{timing.cold_seconds:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def timing_table() -> Iterator[str]:
    """Line by line, so that a long measurement shows what it has."""
    yield (
        "| operator | shape | dtype | backend | forward, GPU ms | forward + backward, GPU ms |"
        " launches | wall ms | CUDA graph ms | peak MiB | first call s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for make, dtype, backend in workloads():
        workload = make()
        yield timing_row(measure(workload, backend), dtype)
        del workload
        torch.cuda.empty_cache()


def error_table(errors: list[Error]) -> Iterator[str]:
    """The worst error of each operator and precision, then every case beyond its tolerance."""
    yield "| operator | dtype | cases | beyond tolerance | worst error | tolerance | where |"
    yield "|---|---|---|---|---|---|---|"
    groups = sorted({(each.operator, each.dtype) for each in errors})
    for operator, dtype in groups:
        members = [each for each in errors if (each.operator, each.dtype) == (operator, dtype)]
        worst = max(members, key=lambda each: each.error)
        failed = sum(not each.ok for each in members)
        yield (
            f"| {operator} | {dtype} | {len(members)} | {failed} | {worst.error:.1e} |"
            f" {worst.tolerance:.0e} | {worst.worst}, {worst.case} |"
        )
    for each in errors:
        if not each.ok:
            yield f"\n**{each.operator} {each.case} {each.dtype}: {each.worst} {each.error:.1e}**"


def report(*, check: bool) -> Iterator[str]:
    """The whole report, line by line."""
    yield f"{environment()}\n"
    yield from timing_table()
    if check:
        tolerances = ", ".join(f"{value:.0e}" for value in TOLERANCE.values())
        yield f"\nAgainst float64 (float32, bfloat16, float16: {tolerances}):\n"
        yield from error_table(check_all())
