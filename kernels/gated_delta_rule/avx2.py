"""The gated delta rule in C++ for processors with AVX2 and FMA: float32, forward and backward.

Heads share nothing but time, so members of a stack are more sequences. For the backward pass the
operator keeps each token's error v − Sᵀk, as large as v, and the state every SEGMENT tokens.
"""

from typing import Any

import torch
from lengthwise.kernels import native
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from torch import Tensor

PREFERENCE = 20
SEGMENT = 64
"""Tokens between two kept states, a multiple of the kernel's chunk: K / 64 of v's memory."""

OPERATORS.define(
    "gated_delta_rule(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log_decay,"
    " Tensor? initial_state, float scale, bool keep) -> (Tensor, Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "gated_delta_rule_backward(Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log_decay,"
    " Tensor? initial_state, float scale, Tensor errors, Tensor entering,"
    " Tensor? output_gradient, Tensor? state_gradient)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def refusal(*args: Any) -> str | None:
    """Computes half and single precision on a CPU with AVX2 where the library was built."""
    return native.refusal(*args[:-1])


def compute(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    tensors = native.floats(q, k, v, beta, log_decay, initial_state)
    # Inside vmap a tensor does not tell whether a gradient will be asked for.
    keep = torch.is_grad_enabled()
    output, state, _, _ = torch.ops.lengthwise.gated_delta_rule(*tensors, scale, keep)
    return output.to(v.dtype), state


def _sizes(k: Tensor, v: Tensor) -> list[int]:
    return [*k.shape, v.shape[-1], SEGMENT]


def _outputs(k: Tensor, v: Tensor, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for the output, the final state, the errors, and the states that enter the segments."""
    batch, length, heads, key_size = k.shape
    kept = (length - 1) // SEGMENT if keep else 0
    return (
        v.new_empty(v.shape),
        v.new_empty(batch, heads, key_size, v.shape[-1]),
        v.new_empty(batch, length if keep else 0, heads, v.shape[-1]),
        v.new_empty(batch, heads, kept, key_size, v.shape[-1]),
    )


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
    keep: bool,
) -> tuple[Tensor, ...]:
    inputs = contiguous(q, k, v, beta, log_decay, initial_state)
    output, state, errors, entering = _outputs(k, v, keep)
    kept = [errors, entering] if keep else [None, None]
    native.call(
        "lengthwise_gated_delta_rule", [*_sizes(k, v), scale], [*inputs, output, state, *kept]
    )
    return output, state, errors, entering


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
    *kept_and_gradients: Tensor | None,
) -> tuple[Tensor, ...]:
    inputs = contiguous(q, k, v, beta, log_decay, initial_state, *kept_and_gradients)
    batch, _, heads, key_size = k.shape
    groups = native.value_groups(k, v)
    of_q, of_k = (k.new_empty(groups, *k.shape) for _ in range(2))
    of_beta, of_decay = (beta.new_empty(groups, *beta.shape) for _ in range(2))
    of_v, of_initial = v.new_empty(v.shape), v.new_empty(batch, heads, key_size, v.shape[-1])
    room = [of_q, of_k, of_v, of_beta, of_decay, of_initial]
    native.call(
        "lengthwise_gated_delta_rule_backward",
        [*_sizes(k, v), groups, scale],
        [*inputs, *room],
    )
    of_q, of_k, of_beta, of_decay = native.total(of_q, of_k, of_beta, of_decay)
    return of_q, of_k, of_v, of_beta, of_decay, of_initial


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, scale, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.scale = scale
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None, *_: Any) -> Any:
    *inputs, errors, entering = ctx.saved_tensors
    gradients = torch.ops.lengthwise.gated_delta_rule_backward(
        *inputs, ctx.scale, errors, entering, output, state
    )
    return *present(inputs, gradients), None, None


def _fake_forward(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, ...]:  # noqa: ARG001
    return _outputs(k, v, rest[-1])


def _fake_backward(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, *_: Any) -> tuple[Tensor, ...]:
    state = _outputs(k, v, False)[1]
    return (*(each.new_empty(each.shape) for each in (q, k, v, beta, beta)), state)


register(
    "gated_delta_rule", _forward, _fake_forward, remember=_remember, differentiate=_differentiate
)
register("gated_delta_rule_backward", _backward, _fake_backward)
