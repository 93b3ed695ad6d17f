"""Sizes, blocks and warps of the chunkwise kernels: a table fixed in advance, no autotuning.

The figures behind it were measured on an H100 (docs/kernels-triton.md).
"""

from dataclasses import dataclass
from typing import Any

import torch
from lengthwise.kernels.gpu import block
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

SEGMENT = 1024
"""Tokens that one program walks: longer sequences become segments of this many."""

LARGEST_STATE = 64 * 64
"""Numbers of a state, or of a block of its value columns, that two warps hold in registers."""

FEW_PROGRAMS = 264
"""Two programs a multiprocessor of an H100: up to here halving the blocks of values is faster."""


@dataclass(frozen=True)
class Plan:
    """Sizes of one call and the constants its kernels are compiled with."""

    length: int
    heads: int
    sequences: int
    chunk_size: int
    chunks: int
    """Chunks of a segment."""
    segments: int
    constants: dict[str, Any]
    value_blocks: int
    warps: tuple[int, int, int]
    """Of the walk forwards, the walk backwards, and the gradients of a chunk."""
    stages: tuple[int, int, int]
    gradient_blocks: tuple[int, int]
    """Blocks of key and value channels in the gradients of a chunk."""

    @property
    def total_chunks(self) -> int:
        return ceil_div(self.length, self.chunk_size)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.length, self.heads, self.chunks, self.segments

    @property
    def grid(self) -> tuple[int, int]:
        return self.sequences * self.segments, self.value_blocks


def plan(q: Tensor, v: Tensor, log_decay: Tensor | None, delta: bool) -> Plan:
    """The fixed table: chunk, blocks and warps by length, head sizes, dtype and kind of decay.

    Two warps and chunks of 32 keep every product off Hopper's warp-group instructions, whose
    tiles of 64 rows some Triton versions miscompile. Linear attention without decay at head size
    64, whose kernels are the simplest, takes them: they save a fifth of its time there.
    """
    batch, length, heads, key_size = q.shape
    value_size = v.shape[-1]
    gate = 0 if log_decay is None else log_decay.dim() - 2
    single = q.dtype == torch.float32
    key_block = block(key_size)
    value_block = min(
        block(value_size), 64, max(16, LARGEST_STATE // key_block // (2 if single else 1))
    )
    segments = ceil_div(length, SEGMENT)
    wide = not (delta or gate or single or length <= 32) and key_block == value_block == 64
    few = batch * heads * segments * ceil_div(value_size, value_block) <= FEW_PROGRAMS
    if few and not wide:
        value_block = min(value_block, 16)
    chunk_size = 16 if length <= 16 or gate == 2 else 64 if wide else 32
    gradient_block = 32 if single or gate == 2 else 64
    constants = {
        "K": key_size,
        "V": value_size,
        "BK": key_block,
        "BV": value_block,
        "C": chunk_size,
        "GATE": gate,
        "DELTA": delta,
        "DOT": "tf32x3" if single else "tf32",
    }
    return Plan(
        length=length,
        heads=heads,
        sequences=batch * heads,
        chunk_size=chunk_size,
        chunks=ceil_div(min(length, SEGMENT), chunk_size),
        segments=segments,
        constants=constants,
        value_blocks=ceil_div(value_size, value_block),
        warps=(4, 4, 4) if wide else (2, 2, 4 if single else 2),
        stages=(2, 2, 1),
        gradient_blocks=(
            min(key_block, 32 if delta else gradient_block),
            min(block(value_size), gradient_block),
        ),
    )
