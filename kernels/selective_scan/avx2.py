"""The selective scan in C++ for processors with AVX2 and FMA: float32, forward and backward.

The operator below computes a stack of members in one call, each with its own A and D, so vmap
costs nothing. For the backward pass it keeps the state at the start of every chunk of time but
the first, and the states in between are computed again.
"""

from typing import Any

import torch
from lengthwise.kernels import native
from lengthwise.kernels.members import alone
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from lengthwise.kernels.selective_scan.steps import step_sizes
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 20
CHUNK_SIZE = 32
"""Steps between two kept states: they take N / 32 of x's memory, and a chunk fits the L2 cache."""
GROUP_SIZE = 32
"""Channels that one thread takes of a sequence: a multiple of sixteen, the widest vector."""

OPERATORS.define(
    "selective_scan(Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D,"
    " Tensor? initial_state, bool keep) -> (Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "selective_scan_backward(Tensor x, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D,"
    " Tensor? initial_state, Tensor entering, Tensor? output_gradient, Tensor? state_gradient)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def refusal(*tensors: Tensor | None) -> str | None:
    """Computes half and single precision on a CPU with AVX2 where the library was built."""
    return native.refusal(*tensors)


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
    members = alone(*native.floats(x, step_sizes(delta, delta_bias), A, B, C, D, initial_state))
    # Inside vmap a tensor does not tell whether a gradient will be asked for.
    keep = torch.is_grad_enabled()
    output, state, _ = torch.ops.lengthwise.selective_scan(*members, keep)
    return output[0].to(x.dtype), state[0]


def _sizes(x: Tensor, A: Tensor) -> list[int]:
    return [*x.shape, A.shape[-1], CHUNK_SIZE, GROUP_SIZE]


def _outputs(x: Tensor, A: Tensor, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Room for the output, the final state, and the states that enter the chunks but the first."""
    members, batch, length, channels = x.shape
    states = A.shape[-1]
    kept = (length - 1) // CHUNK_SIZE if keep else 0
    return (
        x.new_empty(x.shape),
        x.new_empty(members, batch, channels, states),
        x.new_empty(members, batch, kept, states, 16 * ceil_div(channels, 16)),
    )


def _scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = contiguous(x, delta, A, B, C, D, initial_state)
    output, state, entering = _outputs(x, A, keep)
    tensors = [*inputs, output, state, entering if keep else None]
    native.call("lengthwise_selective_scan", _sizes(x, A), tensors)
    return output, state, entering


def _gradients(x: Tensor, A: Tensor) -> list[Tensor]:
    """Room for the gradients: of A and D a share for each sequence, of B and C for each group."""
    members, batch, length, channels = x.shape
    states = A.shape[-1]
    groups = ceil_div(channels, GROUP_SIZE)
    state = (members, batch, channels, states)
    weights = (members, batch, groups, length, states)
    shapes = (x.shape, x.shape, state, weights, weights, state[:3], state)
    return [x.new_empty(shape) for shape in shapes]


def _scan_backward(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    initial_state: Tensor | None,
    entering: Tensor,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
) -> tuple[Tensor, ...]:
    inputs = contiguous(
        x, delta, A, B, C, D, initial_state, entering, output_gradient, state_gradient
    )
    x_gradient, delta_gradient, *shares, initial_gradient = room = _gradients(x, A)
    native.call("lengthwise_selective_scan_backward", _sizes(x, A), [*inputs, *room])
    of_A, of_B, of_C, of_D = shares
    sums = (of_A.sum(1), of_B.sum(2), of_C.sum(2), of_D.sum(1))
    return x_gradient, delta_gradient, *sums, initial_gradient


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[2])


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None, _: Any) -> Any:
    *inputs, entering = ctx.saved_tensors
    gradients = torch.ops.lengthwise.selective_scan_backward(*inputs, entering, output, state)
    return *present(inputs, gradients), None


def _fake_scan(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return _outputs(x, rest[1], rest[-1])


def _fake_backward(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, *rest: Any) -> Any:
    C, *_ = rest
    like = (x, delta, A, B, C)
    return *(each.new_empty(each.shape) for each in like), *(
        x.new_empty(shape) for shape in (A.shape[:-1], _outputs(x, A, False)[1].shape)
    )


register("selective_scan", _scan, _fake_scan, remember=_remember, differentiate=_differentiate)
register("selective_scan_backward", _scan_backward, _fake_backward)
