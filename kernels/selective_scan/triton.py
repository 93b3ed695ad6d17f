"""The selective scan in Triton: time segments side by side, forward and backward.

As in the AVX2 backend the operator below computes a stack of members, each with its own rates and
D; rates and states have their channels last. A short sequence, or a batch that fills the GPU by
itself, takes two launches forward (the first turns B and C) and two backward (the second adds up
shares of gradients); otherwise it takes four and four (see `segments`). The kernels are in
`lengthwise.kernels.gpu_scan_kernels` and `gpu_scan_segments`.
"""

from math import gcd, prod
from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, differentiated, launching
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from lengthwise.kernels.selective_scan.segments import (
    TILE,
    WARPS,
    constants_of,
    cut,
    enter_segments,
    segment_states,
    sizes,
    turn,
    turned,
)
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
FORWARD_STATES, BACKWARD_STATES = 4, 2
"""Of a turn of the loop over them, at most."""
REGISTERS, FEWER = 255, 168
"""A thread's, for 8 warps a multiprocessor, and for 12 where there are so many forward."""
SHARES = 1024
"""Numbers that one program adds up the shares of."""

OPERATORS.define(
    "selective_scan_segments(Tensor x, Tensor delta, Tensor rates, Tensor B, Tensor C, Tensor? D,"
    " Tensor? delta_bias, Tensor? initial) -> (Tensor, Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "selective_scan_segments_backward(Tensor x, Tensor delta, Tensor rates, Tensor B, Tensor C,"
    " Tensor? D, Tensor? delta_bias, Tensor states, Tensor weights, Tensor? output_gradient,"
    " Tensor? state_gradient, bool of_initial) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor,"
    " Tensor, Tensor)"
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
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    initial = None if initial_state is None else initial_state.mT
    members = alone(x, delta, A.mT.contiguous(), B, C, D, delta_bias, initial)
    output, state, *_ = torch.ops.lengthwise.selective_scan_segments(*members)
    # An index would copy the whole gradient on the way back.
    return output.squeeze(0), state.squeeze(0).mT


def _backward(constants: dict[str, int], D: Tensor | None) -> dict[str, int]:
    """The backward walk's, from those of all kernels."""
    turn = gcd(constants["N"], BACKWARD_STATES)
    skip = D is not None
    return constants | {"SKIP": skip, "BN": turn, "maxnreg": REGISTERS}


def _tile_states(x: Tensor, rates: Tensor) -> Tensor:
    shape = (*x.shape[:2], ceil_div(x.shape[2], TILE), *rates.shape[1:])
    return x.new_empty(shape, dtype=None if x.dtype == torch.bfloat16 else torch.float32)


def _edge_states(x: Tensor, rates: Tensor, wanted: bool = True) -> Tensor:
    """Room for a sequence's final state, or if wanted for the gradient of its initial one."""
    shape = rates.shape[1:] if wanted else (0,)
    return x.new_empty(*x.shape[:2], *shape, dtype=torch.float32)


def _channels(x: Tensor, like: Tensor | None) -> Tensor:
    """Room for the gradient of a member's numbers a channel; none where there are none."""
    shape = (x.shape[0], 0 if like is None else x.shape[3])
    return x.new_empty(shape, dtype=None if like is None else like.dtype)


def _scan(
    x: Tensor,
    delta: Tensor,
    rates: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    initial: Tensor | None,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_scan_kernels import scan_segments, scan_segments_back

    x, delta, rates, D, delta_bias, initial = contiguous(  # pyright: ignore[reportAssignmentType]
        x, delta, rates, D, delta_bias, initial
    )
    output, states, weights = torch.empty_like(x), _tile_states(x, rates), turned(B)
    N = rates.shape[1]
    segments = cut(x)[0]
    constants = constants_of(x, rates, delta_bias)
    final = _edge_states(x, rates)
    given = segments > 1 or initial is not None
    entry = final if initial is None else initial.float()
    with launching(x) as launch:
        turn(launch, B, C, weights)
        if segments > 1:
            entry = segment_states(x, rates)
            start = (weights, initial, entry)
            enter_segments(launch, x, delta, delta_bias, rates, *start, False)
        programs = x.shape[0] * x.shape[1] * segments, ceil_div(x.shape[3], constants["BE"])
        registers = REGISTERS if prod(programs) <= WARPS else FEWER
        launch(scan_segments, *programs, warps=1)(
            x, delta, rates, weights, D, delta_bias, entry, output, states, final,
            *sizes(x), int(given), **constants, SKIP=D is not None,
            BN=gcd(N, FORWARD_STATES), maxnreg=registers,
        )  # fmt: skip
        if differentiated(x, delta, rates, B, C, D, delta_bias, initial):
            launch(scan_segments_back, 1, warps=1, later=True)(
                x, delta, rates, weights, D, delta_bias, states, output, final,
                output, delta, weights, final, *sizes(x), 0, **_backward(constants, D),
            )  # fmt: skip
    return output, final, states, weights


def _scan_backward(
    x: Tensor,
    delta: Tensor,
    rates: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    states: Tensor,
    weights: Tensor,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
    of_initial: bool,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_scan_kernels import scan_segments_back
    from lengthwise.kernels.gpu_scan_segments import add_shares

    dy = torch.zeros_like(x) if output_gradient is None else output_gradient.contiguous()
    x, delta, rates, D, delta_bias, state_gradient = contiguous(  # pyright: ignore[reportAssignmentType]
        x, delta, rates, D, delta_bias, state_gradient
    )
    members, batch, length, channels = x.shape
    N = rates.shape[1]
    carried = segment_states(x, rates)
    segments = carried.shape[2]
    constants = constants_of(x, rates, delta_bias)
    blocks = ceil_div(channels, constants["BE"])
    dx, ddelta, dA, dB, dC = (torch.empty_like(each) for each in (x, delta, rates, B, C))
    of_channels = [_channels(x, each) for each in (D, delta_bias)]
    weight_shares = carried.new_empty(blocks, 2, members, batch, length, N)
    rate_shares = carried.new_empty(members, batch * segments, N + 2, channels)
    if segments == 1 and state_gradient is not None:
        carried[:, :, 0] = state_gradient
    with launching(x) as launch:
        if segments > 1:
            start = (weights, state_gradient, carried)
            enter_segments(launch, dy, delta, delta_bias, rates, *start, True)
        given = int(segments > 1 or state_gradient is not None)
        launch(scan_segments_back, members * batch * segments, blocks, warps=1)(
            x, delta, rates, weights, D, delta_bias, states, dy, carried,
            dx, ddelta, weight_shares, rate_shares, *sizes(x), given,
            **_backward(constants, D),
        )  # fmt: skip
        places = batch * length * N
        weight_programs = ceil_div(places, SHARES)
        programs = weight_programs + ceil_div((N + 2) * channels, 32)
        launch(add_shares, programs, members, warps=8)(
            weight_shares, rate_shares, dA, dB, dC, *of_channels,
            places, blocks, batch * segments, channels, weight_programs,
            N=N, SIZE=SHARES, ROWS=256, SKIP=D is not None, SOFT=delta_bias is not None,
        )  # fmt: skip
    first = _edge_states(x, rates, of_initial)
    if of_initial:
        first.copy_(carried[:, :, 0])
    return dx, ddelta, dA, dB, dC, *of_channels, first


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, initial = inputs
    ctx.state_dtype = None if initial is None else initial.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None, *_: Any) -> Any:
    inputs = ctx.saved_tensors
    *gradients, of_initial = torch.ops.lengthwise.selective_scan_segments_backward(
        *inputs, output, state, ctx.state_dtype is not None
    )
    of_initial = None if ctx.state_dtype is None else of_initial.to(ctx.state_dtype)
    return *present(inputs[:7], gradients), of_initial


def _fake_scan(x: Tensor, _delta: Tensor, rates: Tensor, B: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return x.new_empty(x.shape), _edge_states(x, rates), _tile_states(x, rates), turned(B)


def _fake_backward(
    x: Tensor, delta: Tensor, rates: Tensor, B: Tensor, C: Tensor, *rest: Any
) -> tuple[Tensor, ...]:
    D, delta_bias, *_, of_initial = rest
    return (
        *(each.new_empty(each.shape) for each in (x, delta, rates, B, C)),
        *(_channels(x, each) for each in (D, delta_bias)),
        _edge_states(x, rates, of_initial),
    )


register(
    "selective_scan_segments",
    _scan,
    _fake_scan,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("selective_scan_segments_backward", _scan_backward, _fake_backward, devices=DEVICES)
