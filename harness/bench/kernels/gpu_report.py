"""The report on the GPU kernels in Markdown: how fast, and how far from float64."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import torch
from lengthwise.harness.bench.kernels.check import TOLERANCE, Error, check_all
from lengthwise.harness.bench.kernels.devices.cuda import TIMED, Timed
from lengthwise.harness.bench.kernels.gpu import Timing, measure
from lengthwise.harness.bench.markdown import table


def environment() -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "triton")
    )
    return f"{torch.cuda.get_device_name()}, {versions}, {datetime.now(UTC):%Y-%m-%d}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.3f}"


TIMING_HEADINGS = (
    "operator",
    "shape",
    "dtype",
    "backend",
    "forward, GPU ms",
    "forward + backward, GPU ms",
    "launches",
    "wall ms",
    "CUDA graph ms",
    "peak MiB",
    "first call s",
)
ERROR_HEADINGS = (
    "operator",
    "dtype",
    "cases",
    "beyond tolerance",
    "worst error",
    "tolerance",
    "where",
)


def timing_row(timed: Timed, timing: Timing) -> tuple[str, ...]:
    return (
        timed.name,
        "×".join(map(str, timed.problem.shape)),
        str(timed.dtype).removeprefix("torch."),
        timed.who,
        _milliseconds(timing.forward_seconds),
        _milliseconds(timing.gpu_seconds),
        str(timing.launches),
        _milliseconds(timing.wall_seconds),
        _milliseconds(timing.graph_seconds),
        f"{timing.peak_bytes / 2**20:.0f}",
        f"{timing.cold_seconds:.1f}",
    )


def timing_rows() -> Iterator[tuple[str, ...]]:
    for timed in TIMED:
        yield timing_row(timed, measure(timed.contender()))
        torch.cuda.empty_cache()


def error_rows(errors: Sequence[Error]) -> Iterator[tuple[str, ...]]:
    """The worst error of each operator and precision."""
    for operator, dtype in sorted({(each.operator, each.dtype) for each in errors}):
        members = [each for each in errors if (each.operator, each.dtype) == (operator, dtype)]
        worst = max(members, key=lambda each: each.error)
        failed = sum(not each.ok for each in members)
        yield (
            operator,
            dtype,
            str(len(members)),
            str(failed),
            f"{worst.error:.1e}",
            f"{worst.tolerance:.0e}",
            f"{worst.worst}, {worst.case}",
        )


def error_table(errors: Sequence[Error]) -> Iterator[str]:
    """The worst errors, then every case beyond its tolerance."""
    yield from table(ERROR_HEADINGS, error_rows(errors))
    for each in errors:
        if not each.ok:
            yield f"\n**{each.operator} {each.case} {each.dtype}: {each.worst} {each.error:.1e}**"


def report(*, check: bool) -> Iterator[str]:
    """The whole report, line by line."""
    yield f"{environment()}\n"
    yield from table(TIMING_HEADINGS, timing_rows())
    if check:
        tolerances = ", ".join(f"{value:.0e}" for value in TOLERANCE.values())
        yield f"\nAgainst float64 (float32, bfloat16, float16: {tolerances}):\n"
        yield from error_table(check_all())
