"""The cases that every backend of every operator is tested with, and a law for all of them."""

import torch
from lengthwise.harness.bench.kernels.cases import (
    Arguments,
    Case,
    cast,
    convolution,
    delta,
    linear,
    outputs_and_gradients,
    relative_error,
    scan,
)

SIZES = (2, 8, 12)
"""Heads, and the sizes of their keys and values."""
CASES = [
    delta(*SIZES, None, (0, 1)),
    delta(*SIZES, 0.01, (0, 1)),
    delta(*SIZES, 20.0, (0, 1)),
    delta(*SIZES, 0.1, (0, 1e-3)),
    delta(*SIZES, 0.1, (0.999, 1)),
    delta(*SIZES, 0.1, (1, 2)),
    linear(*SIZES, None),
    linear(*SIZES, 0.1),
    linear(*SIZES, 20.0),
    linear(*SIZES, 0.1, channel=True),
    linear(*SIZES, 20.0, channel=True),
    scan(6, 5),
    convolution(6, 4),
    convolution(6, 1),
    convolution(6, 4, "silu"),
    convolution(6, 9, "silu"),
]

HALF_TOLERANCE = {torch.bfloat16: 1e-2, torch.float16: 4e-3}


def check_mixed_precision(
    case: Case, arguments: Arguments, backend: str, half: torch.dtype
) -> None:
    """Half precision beside float32 gives float64's numbers, each gradient in its own dtype."""
    mixed = cast(arguments, half, torch.float32)
    found = outputs_and_gradients(case, mixed, backend, half)
    expected = outputs_and_gradients(case, cast(mixed, torch.float64), "reference", half)
    state = half if case.operator == "causal_conv1d" else torch.float32
    dtypes = {f"d{name}": each.dtype for name, each in mixed.items() if f"d{name}" in found}
    dtypes |= {"output": half, "state": state}
    for name, value in found.items():
        assert value.dtype == dtypes[name], name
        assert relative_error(value, expected[name], half) <= HALF_TOLERANCE[half], name
