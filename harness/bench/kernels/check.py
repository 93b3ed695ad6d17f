"""The check of the GPU kernels against float64: output, state, every gradient.

The inputs, and the gradients that come in, are rounded to the tested precision first; `reference`,
the definition, then computes in float64, on the GPU too. Sequences too long for a step-by-step
recurrence are held against the chunked form in float64, which the same check holds against the
recurrence at shorter lengths.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from lengthwise.harness.bench.kernels.cases import (
    Case,
    attention,
    cast,
    convolution,
    delta,
    linear,
    outputs_and_gradients,
    relative_error,
    scan,
    weighted_mean,
)

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 4e-3}
"""In bfloat16 the arguments of `SINGLE` stay in float32, as in training."""
LONGEST_RECURRENCE = 2048


@dataclass(frozen=True)
class Error:
    """The largest relative error of one case in one precision, and whose it is."""

    operator: str
    case: str
    dtype: str
    worst: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance


def grid() -> Iterator[tuple[Case, int, int]]:
    """Cases with batch and length: odd lengths, one token, 65,536 tokens, head sizes, decays."""
    for decay in (None, 0.0, 0.1, 20.0):
        for beta in (0.0, 1.0, 2.0):
            yield delta(1, 64, 64, decay, (beta, beta), state=beta != 1), 3, 131
        yield linear(1, 64, 64, decay), 3, 131
        if decay is not None:
            yield linear(1, 64, 64, decay, channel=True), 3, 131
    for batch, length, *sizes in (
        (2, 1, 2, 64, 64),
        (3, 17, 2, 16, 16),
        (2, 77, 1, 20, 40),
        (1, 300, 2, 32, 64),
        (1, 257, 2, 128, 128),
        (1, 200, 1, 256, 256),
        (1, 1531, 2, 64, 64),
        (1, 1100, 1, 128, 96),
    ):
        heads, key_size, value_size = sizes
        yield delta(heads, key_size, value_size, 0.1, (0.0, 1.9)), batch, length
        yield linear(heads, key_size, value_size, 0.1), batch, length
        yield linear(heads, key_size, value_size, 0.1, channel=True), batch, length
    yield delta(2, 64, 64, None, (1.0, 1.0), repeated=True), 1, 256
    yield delta(1, 64, 64, 0.1, (1.0, 1.0)), 1, 65536
    yield linear(1, 64, 64, 0.1), 1, 65536
    yield linear(1, 64, 64, 0.1, channel=True), 1, 65536
    for batch, length, channels, states in (
        (2, 1, 8, 16),
        (2, 131, 40, 16),
        (1, 1531, 128, 16),
        (3, 70, 16, 5),
        (1, 65536, 32, 16),
    ):
        yield scan(channels, states), batch, length
        yield scan(channels, states, bias=True), batch, length
    for batch, length, channels, width in (
        (2, 1, 8, 4),
        (2, 131, 40, 4),
        (1, 3000, 64, 3),
        (2, 9, 16, 1),
    ):
        yield convolution(channels, width), batch, length
        yield convolution(channels, width, "silu"), batch, length
    for length in (1, 17, 64, 77, 128, 131, 256, 1000):
        for size in (16, 20, 32, 64, 96, 128):
            yield attention(2, size, size), 3, length
            yield weighted_mean(2, size), 3, length
        yield attention(1, 20, 40), 3, length


def check(
    case: Case, batch: int, length: int, dtype: torch.dtype, device: str, backend: str = "triton"
) -> Error:
    """Holds one case in one precision against float64."""
    exact = case.make(batch, length, torch.Generator(device).manual_seed(0))
    rounded = cast(exact, dtype, torch.float32 if dtype == torch.bfloat16 else None)
    found = outputs_and_gradients(case, rounded, backend, dtype)
    yardstick = "reference" if length <= LONGEST_RECURRENCE else "chunked"
    expected = outputs_and_gradients(case, cast(rounded, torch.float64), yardstick, dtype)
    largest = max(each.norm().item() for each in expected.values())
    errors = {
        name: relative_error(found[name], each, dtype, largest if name in case.differences else 0.0)
        for name, each in expected.items()
    }
    worst = max(errors, key=errors.__getitem__)
    precision = str(dtype).removeprefix("torch.")
    place = f"{batch}×{length} {case.variant}"
    return Error(case.operator, place, precision, worst, errors[worst], TOLERANCE[dtype])


def _check_index(index: int, dtype: torch.dtype) -> Error:
    return check(*list(grid())[index], dtype, "cuda")


def check_all() -> list[Error]:
    """The grid in float32, bfloat16 and float16, in a process a core, 16 at most.

    The time goes into compiling each head size, and into the step-by-step recurrence.
    """
    pairs = [(index, dtype) for index in range(len(list(grid()))) for dtype in TOLERANCE]
    with ProcessPoolExecutor(min(16, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        return list(pool.map(_check_index, *zip(*pairs, strict=True)))
