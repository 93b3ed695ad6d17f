"""Cases at a batch and a length, held against float64 where Triton runs."""

import torch
from lengthwise.harness.bench.kernels.cases import Case
from lengthwise.harness.bench.kernels.check import check

from tests.kernels.cases import check_mixed_precision

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16]
Placed = tuple[Case, int, int]
"""A case with its batch and length."""


def name_of(placed: Placed) -> str:
    return "-".join(map(str, placed))


def hold(placed: Placed, dtype: torch.dtype = torch.float32) -> None:
    """Output, state and gradients equal those of the float64 recurrence."""
    error = check(*placed, dtype, DEVICE)
    assert error.ok, error


def hold_mixed(placed: Placed) -> None:
    """Half precision beside float32 keeps every dtype."""
    case, batch, length = placed
    arguments = case.make(batch, length, torch.Generator(DEVICE).manual_seed(0))
    check_mixed_precision(case, arguments, "triton", torch.float16)
