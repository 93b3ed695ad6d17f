"""How precisely matrices are multiplied."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lengthwise.harness.settings import Precision


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Computes forwards inside the block as `train.precision` says; parameters stay in float32.

    `bfloat16` is torch's autocast: matrix products and what flows between them in bfloat16,
    recurrent states, norms' sums and losses in float32. `tf32` is that of `float32_products`. A
    backward pass belongs in `float32_products` alone: it follows the dtypes of the forward pass,
    and autocast would cast again what that left in float32.
    """
    half = precision == "bfloat16"
    # A cast kept from one step would be that of old weights when a CUDA graph is replayed.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False)
    with float32_products(precision), autocast:
        yield


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Multiplies float32 matrices inside the block as `train.precision` says.

    `tf32` rounds the operands of torch's own float32 products, and of the weight's gradient in the
    operator `linear`, to ten bits of mantissa on a GPU; otherwise they keep all their digits. A
    CUDA graph keeps what held when it was recorded.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
