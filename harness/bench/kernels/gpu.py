"""Times of one contender on a GPU: its kernels, launches, peak memory, cold start, CUDA graph.

GPU time is the sum of the kernels' own durations as torch's profiler sees them; wall time is
between device events around many calls, so it holds the launch gaps too. A CUDA graph replays
the same launches without the host.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from lengthwise.harness.bench.kernels.contenders import Contender, both, forward
from lengthwise.harness.bench.kernels.timing import Call, once
from lengthwise.harness.bench.profiling import device_events
from lengthwise.harness.graph import Captured
from torch import Tensor


@dataclass(frozen=True)
class Timing:
    """Forward + backward, unless a field says otherwise."""

    cold_seconds: float
    """The first call, which compiles."""
    forward_seconds: float
    """GPU time of the forward pass alone."""
    gpu_seconds: float
    launches: int
    wall_seconds: float
    graph_seconds: float | None
    """Wall time of a CUDA graph's replay; None where the call cannot be captured."""
    peak_bytes: int


def kernel_times(run: Call, repeats: int = 10) -> tuple[float, int]:
    """The kernels' own seconds a call, and launches a call."""
    run()
    torch.cuda.synchronize()

    def repeated() -> None:
        for _ in range(repeats):
            run()

    events = device_events(repeated)
    microseconds = sum(each.self_device_time_total for each in events)
    return microseconds * 1e-6 / repeats, round(len(events) / repeats)


def wall_seconds(run: Call, repeats: int = 20, rounds: int = 5) -> float:
    """The median over rounds of the time between device events, a call."""
    for _ in range(3):
        run()
    times: list[float] = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / repeats)
    return statistics.median(times)


def graph_seconds(run: Callable[[], tuple[Tensor, ...]]) -> float | None:
    """Wall time of a CUDA graph's replay, or None where the call cannot be captured."""
    captured = Captured(lambda: run()[0], torch.device("cuda"))
    seconds = wall_seconds(captured)  # whose untimed calls run it and record it
    return seconds if captured.replays else None


def measure(contender: Contender) -> Timing:
    """All figures of one contender whose inputs are on the GPU."""
    run = both(contender)

    def finished() -> None:
        run()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    cold = once(finished)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    finished()
    peak = torch.cuda.max_memory_allocated() - before
    gpu, launches = kernel_times(run)
    return Timing(
        cold_seconds=cold,
        forward_seconds=kernel_times(forward(contender))[0],
        gpu_seconds=gpu,
        launches=launches,
        wall_seconds=wall_seconds(run),
        graph_seconds=graph_seconds(run),
        peak_bytes=peak,
    )
