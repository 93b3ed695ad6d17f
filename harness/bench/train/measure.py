"""Times of the training loop: examples a second, what the GPU does meanwhile, cold start."""

import time
from collections import Counter
from dataclasses import dataclass

import torch
from lengthwise.architectures.layers import Linear
from lengthwise.harness.bench.profiling import device_events
from lengthwise.harness.population import LOGGED, Population

PROFILED = 10
"""Steps that the profiler watches."""


@dataclass(frozen=True)
class Speed:
    """How fast a population trains."""

    first_seconds: float
    """From nothing to the end of the second step, which records the graph on a GPU."""
    step_seconds: float
    examples_per_second: float
    """Of all members together."""
    busy: float | None
    """Share of the time in which a kernel runs; None on a CPU."""
    launches: int | None
    flops_per_second: float
    """Of the projections and the head, forward and backward; what mixes tokens is not counted."""
    peak_bytes: int | None
    kernels: dict[str, float]
    """Seconds a step by kernel, the longest first."""


def speed(population: Population, begin: float, seconds: float) -> Speed:
    """Trains for about as long as told.

    Args:
        population: a new one.
        begin: time.perf_counter() before it was made.
    """
    _advance(population, 2)
    first = time.perf_counter() - begin
    steps = max(1, min(LOGGED, int(seconds / _advance(population, 1))))
    step = sorted(_advance(population, steps) / steps for _ in range(3))[1]
    train, members = population.runs[0].train, len(population.runs)
    on_gpu = population.device.type == "cuda"
    busy, launches, kernels = _watched(population) if on_gpu else (None, None, {})
    return Speed(
        first_seconds=first,
        step_seconds=step,
        examples_per_second=members * train.batch_size / step,
        busy=busy,
        launches=launches,
        flops_per_second=members * flops(population) / step,
        peak_bytes=torch.cuda.max_memory_reserved(population.device) if on_gpu else None,
        kernels=kernels,
    )


def _advance(population: Population, steps: int) -> float:
    """The seconds of some steps, from an idle device to an idle device."""
    begin = time.perf_counter()
    for _ in range(steps):
        population.advance()
    population.take_losses()
    return time.perf_counter() - begin


def flops(population: Population) -> int:
    """Operations of one member's step in the projections, at every token, and the head."""
    train, model = population.runs[0].train, population.model
    weights = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, Linear) and name != "head"
    )
    answers = population.batch("train", 0, 1, train.length).answers.shape[1]
    head = answers * model.head.weight.numel()
    return 6 * train.batch_size * (train.length * weights + head)


def _watched(population: Population) -> tuple[float, int, dict[str, float]]:
    """Busy share, launches a step, and seconds a step by kernel."""
    events = device_events(lambda: _advance(population, PROFILED))
    spans = sorted((each.time_range.start, each.time_range.end) for each in events)
    covered, reach = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    named: Counter[str] = Counter()
    for each in events:
        named[each.name] += each.time_range.elapsed_us() * 1e-6 / PROFILED
    busy = covered / (reach - spans[0][0])
    return busy, round(len(events) / PROFILED), dict(named.most_common())
