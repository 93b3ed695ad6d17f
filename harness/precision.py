"""How precisely matrices are multiplied."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lengthwise.harness.settings import Precision


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Computes inside the block as `train.precision` says; parameters stay in float32.

    `bfloat16` is torch's autocast: matrix products and what flows between them in bfloat16,
    recurrent states, norms' sums and losses in float32. `tf32` rounds the operands of torch's own
    float32 products on a GPU to ten bits of mantissa.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    half = precision == "bfloat16"
    try:
        # A cast kept from one step would be that of old weights when a CUDA graph is replayed.
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
