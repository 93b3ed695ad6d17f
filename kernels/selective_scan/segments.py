"""How the selective scan cuts time on a GPU: tiles, segments, and what each segment starts from.

B and C are turned first, tile by tile. Where there are several segments, all find side by side
what they add to a state, and these are joined. The kernels are in
`lengthwise.kernels.gpu_scan_segments`.
"""

from typing import Any

import torch
from lengthwise.kernels.gpu import block
from lengthwise.kernels.gpu_rows import by_rows
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

TILE = 8
"""Tokens whose rows a warp holds, a multiple of 4; the state before them is kept."""
BLOCK, HELD = 64, 2048
"""Channels and states of a warp, at most; it takes 32 channels at least."""
WARPS = 1056
"""That 132 multiprocessors walk at once, 8 each: segments are cut until there are so many."""
SHORTEST = 8
"""Tiles of the shortest segment."""
SUMMARY_STATES = 8
"""Of a program that summarises a segment."""
SUMMARY_REGISTERS = 128
"""A thread's, for 16 warps a multiprocessor."""
RUNS, JOINED = 128, 2048
"""Of segments, joined side by side, and numbers of them that a program holds, at most."""
TURNED = 1024
"""Numbers that one program turns."""


def cut(x: Tensor) -> tuple[int, int]:
    """How many segments a sequence has, and how many tiles a segment."""
    members, batch, length, channels = x.shape
    tiles = ceil_div(length, TILE)
    wanted = max(1, WARPS // (members * batch * ceil_div(channels, BLOCK)))
    each = max(ceil_div(tiles, wanted), SHORTEST)
    return ceil_div(tiles, each), each


def sizes(x: Tensor) -> tuple[int, ...]:
    """Length, batch, segments, and tiles a segment."""
    return x.shape[2], x.shape[1], *cut(x)


def constants_of(x: Tensor, rates: Tensor, delta_bias: Tensor | None) -> dict[str, int]:
    """That the kernels of a walk share."""
    length, channels = x.shape[2:]
    N = rates.shape[1]
    width = min(BLOCK, block(channels, 32), max(32, HELD // block(N)))
    even = length % TILE == 0 and channels % width == 0
    soft = delta_bias is not None
    return {"channels": channels, "N": N, "BT": TILE, "BE": width, "EVEN": even, "SOFT": soft}


def segment_states(x: Tensor, rates: Tensor) -> Tensor:
    """Room for a state a segment: [P, B, segments, N, E]."""
    shape = (*x.shape[:2], cut(x)[0], *rates.shape[1:])
    return x.new_empty(shape, dtype=torch.float32)


def turned(B: Tensor) -> Tensor:
    """Room for B and C turned: [P, B, tiles, 2, N, TILE]."""
    members, batch, length, N = B.shape
    shape = (members, batch, ceil_div(length, TILE), 2, N, TILE)
    return B.new_empty(shape, dtype=torch.float32)


def turn(launch: Any, B: Tensor, C: Tensor, weights: Tensor) -> None:
    """Fills `weights`; B and C are read where they lie, also as parts of a projection."""
    from lengthwise.kernels.gpu_scan_segments import turn_weights

    batch, length, N = B.shape[1:]
    rows = by_rows(B), by_rows(C)
    tiles = weights.numel() // (2 * N * TILE)
    together = max(1, TURNED // (block(N) * TILE))
    launch(turn_weights, ceil_div(tiles, together), warps=4)(
        *[each.tensor for each in rows], weights, length, batch, tiles,
        *[distance for each in rows for distance in each.strides[:2]],
        N=N, BN=block(N), BT=TILE, TILES=together,
    )  # fmt: skip


def enter_segments(
    launch: Any, source: Tensor, delta: Tensor, delta_bias: Tensor | None, rates: Tensor,
    weights: Tensor, start: Tensor | None, carried: Tensor, backward: bool,
) -> None:  # fmt: skip
    """What each segment starts from, from what the first one does."""
    from lengthwise.kernels.gpu_scan_segments import join_segments, summarise_segments

    members, batch, _, channels = source.shape
    segments, N = carried.shape[2:4]
    constants = constants_of(source, rates, delta_bias)
    additions = torch.empty_like(carried)
    spans = carried.new_empty(members, batch, segments, channels)
    groups = members * batch * (segments - 1) * ceil_div(N, SUMMARY_STATES)
    launch(summarise_segments, groups, ceil_div(channels, constants["BE"]), warps=1)(
        source, delta, delta_bias, rates, weights, additions, spans, *sizes(source),
        **constants,
        BN=SUMMARY_STATES, BACKWARD=backward, maxnreg=SUMMARY_REGISTERS,
    )  # fmt: skip
    runs = min(RUNS, block(segments, 2))
    joined = min(32, JOINED // runs)
    programs = members * batch, N, ceil_div(channels, joined)
    launch(join_segments, *programs, warps=ceil_div(runs, 16))(
        additions, spans, rates, start, carried, channels, batch, segments,
        N=N, SB=runs, EACH=ceil_div(segments, runs), BE=joined, BACKWARD=backward,
    )  # fmt: skip
