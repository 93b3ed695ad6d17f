"""The selective scan in Triton: time segments side by side, forward and backward.

As in the AVX2 backend the operator below computes a stack of members, each with its own A and D.
A short sequence, or a batch that fills the GPU by itself, takes one launch forward and two
backward (the second adds up shares of gradients); otherwise it takes three and four. The kernels
are in `lengthwise.kernels.gpu_scan_kernels` and `gpu_scan_segments`.
"""

from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launch, on
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
TILE = 8
"""Tokens of a tile, which one warp scans with all its channels' states in registers."""
SUMMARY = 4
"""Tiles that the segments' summaries take together; a segment holds a multiple of them."""
BLOCK = 32
"""Channels of a warp."""
PROGRAMS = 2048
"""Warps that fill a GPU of 132 multiprocessors: segments are cut until there are so many."""
SEGMENTS = 4096
SHORTEST = 8
"""Tiles of the shortest segment."""
SHARES = 1024
"""Numbers that one program adds up the shares of."""

OPERATORS.define(
    "selective_scan_segments(Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D,"
    " Tensor? initial_state) -> (Tensor, Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "selective_scan_segments_backward(Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C,"
    " Tensor? D, Tensor states, Tensor spans, Tensor? output_gradient, Tensor? state_gradient)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def refusal(*tensors: Tensor | None) -> str | None:
    """Computes half and single precision on an NVIDIA GPU."""
    return gpu.refusal(*tensors)


def compute(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    members = alone(x, delta, A, B, C, D, initial_state)
    output, state, *_ = torch.ops.lengthwise.selective_scan_segments(*members)
    # An index would copy the whole gradient on the way back.
    return output.squeeze(0), state.squeeze(0)


def _cut(x: Tensor) -> tuple[int, int]:
    """How many segments a sequence has, and how many tiles a segment."""
    members, batch, length, channels = x.shape
    tiles = ceil_div(length, TILE)
    programs = members * batch * ceil_div(channels, BLOCK)
    wanted = min(SEGMENTS, max(1, PROGRAMS // programs))
    each = ceil_div(max(ceil_div(tiles, wanted), SHORTEST), SUMMARY) * SUMMARY
    return ceil_div(tiles, each), each


def _sizes(x: Tensor) -> tuple[int, int, int, int, int]:
    return x.shape[2], x.shape[3], x.shape[1], *_cut(x)


def _outputs(x: Tensor, A: Tensor) -> list[Tensor]:
    """Room for the output, the final state, the state at every tile and the segments' spans."""
    members, batch, length, channels = x.shape
    segments, _ = _cut(x)
    states = A.shape[-1]
    single = torch.float32
    return [
        x.new_empty(x.shape),
        x.new_empty(members, batch, channels, states, dtype=single),
        x.new_empty(members, batch, ceil_div(length, TILE), states, channels, dtype=single),
        x.new_empty(members, batch, segments if segments > 1 else 0, channels, dtype=single),
    ]


def _constants(A: Tensor) -> dict[str, int]:
    return {"N": A.shape[-1], "BT": TILE, "BE": BLOCK}


def _summary_sizes(x: Tensor) -> tuple[int, ...]:
    *sizes, tiles = _sizes(x)
    return *sizes, tiles // SUMMARY


def _summary_constants(A: Tensor) -> dict[str, int]:
    return _constants(A) | {"BT": TILE * SUMMARY}


def _grid(x: Tensor) -> tuple[int, int]:
    members, batch, _, channels = x.shape
    return members * batch * _cut(x)[0], ceil_div(channels, BLOCK)


def _join(
    additions: Tensor, spans: Tensor, A: Tensor, start: Tensor | None, result: Tensor, stride: int
) -> None:
    """Forward where the result holds the state of every tile, backward with one a segment."""
    from lengthwise.kernels.gpu_scan_segments import join_segments

    members, batch, segments, states, channels = additions.shape
    launch(join_segments, members * batch, states, ceil_div(channels, BLOCK), warps=4)(
        additions, spans, A, start, result, channels, batch, segments, stride, result.shape[2],
        N=states, SB=64, BE=BLOCK, BACKWARD=stride == 1,
    )  # fmt: skip


def _scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_scan_kernels import scan_segments
    from lengthwise.kernels.gpu_scan_segments import summarise_segments

    x, delta, A, B, C, D, initial = contiguous(x, delta, A, B, C, D, initial_state)  # pyright: ignore[reportAssignmentType]
    room = _outputs(x, A)
    _, _, states, spans = room
    segments, tiles = _cut(x)
    with on(x):
        if segments > 1:
            additions = _segment_states(x, A)
            launch(summarise_segments, *_grid(x), warps=1)(
                x, delta, A, B, additions, spans, *_summary_sizes(x), **_summary_constants(A),
                BACKWARD=False,
            )  # fmt: skip
            _join(additions, spans, A, initial, states, tiles)
        launch(scan_segments, *_grid(x), warps=1)(
            x, delta, A, B, C, D, initial if segments == 1 else None, *room[:3], *_sizes(x),
            **_constants(A), SKIP=D is not None, START=segments == 1,
        )  # fmt: skip
    return tuple(room)


def _segment_states(x: Tensor, A: Tensor) -> Tensor:
    members, batch, _, channels = x.shape
    shape = (members, batch, _cut(x)[0], A.shape[-1], channels)
    return x.new_empty(shape, dtype=torch.float32)


def _scan_backward(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    states: Tensor,
    spans: Tensor,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_scan_kernels import add_shares, scan_segments_back
    from lengthwise.kernels.gpu_scan_segments import summarise_segments

    if output_gradient is None:
        output_gradient = torch.zeros_like(x)
    x, delta, A, B, C, D, output_gradient, state_gradient = contiguous(  # pyright: ignore[reportAssignmentType]
        x, delta, A, B, C, D, output_gradient, state_gradient
    )
    members, batch, length, channels = x.shape
    size = A.shape[-1]
    segments, _ = _cut(x)
    dx, ddelta = torch.empty_like(x), torch.empty_like(delta)
    blocks = ceil_div(channels, BLOCK)
    weight_shares = states.new_empty(blocks, 2, members, batch, length, size)
    rate_shares = states.new_empty(members, batch * segments, size + 1, channels)
    dinitial = states.new_empty(members, batch, channels, size)
    carried = _segment_states(x, A)
    with on(x):
        if segments > 1:
            additions = _segment_states(x, A)
            launch(summarise_segments, *_grid(x), warps=1)(
                output_gradient, delta, A, C, additions, spans, *_summary_sizes(x),
                **_summary_constants(A), BACKWARD=True,
            )  # fmt: skip
            _join(additions, spans, A, state_gradient, carried, 1)
        launch(scan_segments_back, *_grid(x), warps=1)(
            x, delta, A, B, C, D, states, output_gradient,
            state_gradient if segments == 1 else None, carried,
            dx, ddelta, weight_shares, rate_shares, dinitial, *_sizes(x), **_constants(A),
            SKIP=D is not None, START=segments == 1,
        )  # fmt: skip
        dA, dB, dC = (torch.empty_like(each) for each in (A, B, C))
        dD = (A if D is None else D).new_empty(A.shape[:-1])
        places = batch * length * size
        weight_programs = ceil_div(places, SHARES)
        programs = weight_programs + ceil_div((size + 1) * channels, 32)
        launch(add_shares, programs, members, warps=4)(
            weight_shares, rate_shares, dA, dB, dC, dD, places, blocks, batch * segments, channels,
            weight_programs, N=size, SIZE=SHARES, SKIP=D is not None,
        )  # fmt: skip
    return dx, ddelta, dA, dB, dC, dD, dinitial


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, initial_state = inputs
    ctx.state_dtype = None if initial_state is None else initial_state.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None, *_: Any) -> Any:
    inputs = ctx.saved_tensors
    *gradients, of_D, of_state = torch.ops.lengthwise.selective_scan_segments_backward(
        *inputs, output, state
    )
    of_state = None if ctx.state_dtype is None else of_state.to(ctx.state_dtype)
    return *gradients, None if inputs[5] is None else of_D, of_state


def _fake_scan(x: Tensor, _delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(_outputs(x, A))


def _fake_backward(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *rest: Any) -> Any:
    D = rest[0]
    of_D = (A if D is None else D).new_empty(A.shape[:-1])
    state = x.new_empty(*x.shape[:2], *A.shape[-2:], dtype=torch.float32)
    return *(each.new_empty(each.shape) for each in (x, delta, A, B, C)), of_D, state


register(
    "selective_scan_segments",
    _scan,
    _fake_scan,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("selective_scan_segments_backward", _scan_backward, _fake_backward, devices=DEVICES)
