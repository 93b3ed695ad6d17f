"""Times of the GPU kernels: GPU time, launches, peak memory, cold start, with and without a graph.

GPU time is the sum of the kernels' own durations as torch's profiler sees them; wall time is
between device events around many calls, so it holds the launch gaps too. A CUDA graph replays
the same launches without the host.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from lengthwise import kernels
from torch import Tensor
from torch.profiler import DeviceType, ProfilerActivity, profile

Call = Callable[[], None]


@dataclass(frozen=True)
class Timing:
    """Forward + backward of one operator at one shape by one backend."""

    operator: str
    shape: tuple[int, ...]
    backend: str
    cold_seconds: float
    forward_seconds: float
    """GPU time of the forward pass alone."""
    gpu_seconds: float
    launches: int
    wall_seconds: float
    graph_seconds: float | None
    """Wall time of a CUDA graph's replay; None where the call cannot be captured."""
    peak_bytes: int


@dataclass(frozen=True)
class Workload:
    """One operator with inputs of one shape, ready to be called."""

    operator: str
    shape: tuple[int, ...]
    leaves: list[Tensor]
    call: Callable[[str], Tensor]

    def forward(self, backend: str) -> Call:
        def run() -> None:
            with torch.no_grad():
                self.call(backend)

        return run

    def both(self, backend: str) -> Call:
        output = self.call(backend)
        incoming = torch.randn_like(output)

        def run() -> None:
            torch.autograd.grad(self.call(backend), self.leaves, incoming)

        return run


def _leaf(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, device="cuda", dtype=dtype).requires_grad_()


def delta_workload(batch: int, length: int, heads: int, size: int, dtype: torch.dtype) -> Workload:
    q, k, v = (_leaf(batch, length, heads, size, dtype=dtype) for _ in range(3))
    with torch.no_grad():
        k /= k.norm(dim=-1, keepdim=True)
    beta = torch.rand(batch, length, heads, device="cuda").requires_grad_()
    log_decay = (-0.1 * torch.rand(batch, length, heads, device="cuda")).requires_grad_()
    leaves = [q, k, v, beta, log_decay]

    def call(backend: str) -> Tensor:
        return kernels.gated_delta_rule(q, k, v, beta, log_decay, backend=backend)[0]

    return Workload("gated_delta_rule", (batch, length, heads, size), leaves, call)


def linear_workload(
    batch: int, length: int, heads: int, size: int, dtype: torch.dtype, decay: str = "none"
) -> Workload:
    q, k, v = (_leaf(batch, length, heads, size, dtype=dtype) for _ in range(3))
    gates = {"none": None, "head": (batch, length, heads), "channel": q.shape}[decay]
    leaves, log_decay = [q, k, v], None
    if gates is not None:
        log_decay = (-0.1 * torch.rand(gates, device="cuda")).requires_grad_()
        leaves.append(log_decay)

    def call(backend: str) -> Tensor:
        return kernels.gated_linear_attention(q, k, v, log_decay, backend=backend)[0]

    name = "gated_linear_attention" + ("" if decay == "none" else f", {decay} decay")
    return Workload(name, (batch, length, heads, size), leaves, call)


def softmax_workload(
    batch: int, length: int, heads: int, size: int, dtype: torch.dtype
) -> Workload:
    q, k, v = (_leaf(batch, heads, length, size, dtype=dtype) for _ in range(3))

    def call(backend: str) -> Tensor:
        return kernels.softmax_attention(q, k, v, causal=True, backend=backend)

    return Workload("softmax_attention", (batch, length, heads, size), [q, k, v], call)


def scan_workload(
    batch: int, length: int, channels: int, states: int, dtype: torch.dtype
) -> Workload:
    x = _leaf(batch, length, channels, dtype=dtype)
    raw = torch.randn(batch, length, channels, device="cuda", dtype=dtype) - 4
    delta = torch.nn.functional.softplus(raw).requires_grad_()
    A = (-torch.arange(1, states + 1, device="cuda").float().repeat(channels, 1)).requires_grad_()
    B, C = (_leaf(batch, length, states, dtype=dtype) for _ in range(2))
    D = torch.ones(channels, device="cuda").requires_grad_()

    def call(backend: str) -> Tensor:
        return kernels.selective_scan(x, delta, A, B, C, D, backend=backend)[0]

    leaves = [x, delta, A, B, C, D]
    return Workload("selective_scan", (batch, length, channels, states), leaves, call)


def convolution_workload(
    batch: int, length: int, channels: int, width: int, dtype: torch.dtype
) -> Workload:
    x = _leaf(batch, length, channels, dtype=dtype)
    weight, bias = _leaf(channels, width, dtype=dtype), _leaf(channels, dtype=dtype)

    def call(backend: str) -> Tensor:
        return kernels.causal_conv1d(x, weight, bias, backend=backend)[0]

    return Workload("causal_conv1d", (batch, length, channels, width), [x, weight, bias], call)


def kernel_times(run: Call, repeats: int = 10) -> tuple[float, int]:
    """The kernels' own seconds a call, and launches a call."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
    device = [each for each in profiler.events() or () if each.device_type == DeviceType.CUDA]
    microseconds = sum(each.self_device_time_total for each in device)
    return microseconds * 1e-6 / repeats, round(len(device) / repeats)


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


def captured(run: Call) -> Call | None:
    """The replay of a CUDA graph of the call, or None where it cannot be captured."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            run()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph.replay


def measure(workload: Workload, backend: str) -> Timing:
    """All figures of one workload; the first call's time is the cold start."""
    torch.cuda.synchronize()
    begin = time.perf_counter()
    both, forward = workload.both(backend), workload.forward(backend)
    both()
    torch.cuda.synchronize()
    cold = time.perf_counter() - begin
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    gpu, launches = kernel_times(both)
    replay = captured(both)
    return Timing(
        operator=workload.operator,
        shape=workload.shape,
        backend=backend,
        cold_seconds=cold,
        forward_seconds=kernel_times(forward)[0],
        gpu_seconds=gpu,
        launches=launches,
        wall_seconds=wall_seconds(both),
        graph_seconds=wall_seconds(replay) if replay else None,
        peak_bytes=peak,
    )
