"""Calls of the compiled operators in float32, positional so that one test fits all."""

from collections.abc import Callable

import pytest
import torch
from lengthwise.kernels import (
    causal_conv1d,
    gated_delta_rule,
    gated_linear_attention,
    native,
    selective_scan,
)
from torch import Tensor

needs_library = pytest.mark.skipif(bool(native.MISSING), reason=str(native.MISSING))

Make = Callable[..., list[Tensor]]
Run = Callable[[list[Tensor], str | None], tuple[Tensor, Tensor]]


def normal(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def scan_inputs(batch: int, length: int, channels: int, states: int, seed: int = 0) -> list[Tensor]:
    """x, delta, A, B, C, D and an initial state in float32."""
    draw = normal(seed)
    return [
        draw(batch, length, channels),
        torch.nn.functional.softplus(draw(batch, length, channels)),
        -draw(channels, states).exp(),
        draw(batch, length, states),
        draw(batch, length, states),
        draw(channels),
        draw(batch, channels, states),
    ]


def conv_inputs(batch: int, length: int, channels: int, width: int, seed: int = 0) -> list[Tensor]:
    """x, the filters, the bias and an initial state in float32."""
    draw = normal(seed)
    return [
        draw(batch, length, channels),
        draw(channels, width),
        draw(channels),
        draw(batch, channels, width - 1),
    ]


def scan(inputs: list[Tensor], backend: str | None = "avx2") -> tuple[Tensor, Tensor]:
    *others, initial_state = inputs
    return selective_scan(*others, initial_state=initial_state, backend=backend)


def conv(inputs: list[Tensor], backend: str | None = "avx2") -> tuple[Tensor, Tensor]:
    *others, initial_state = inputs
    return causal_conv1d(*others, initial_state=initial_state, backend=backend)


def delta_inputs(batch: int, length: int, values: int, keys: int, seed: int = 0) -> list[Tensor]:
    """q, k, v, beta, log_decay and an initial state of two heads in float32."""
    draw = normal(seed)
    return [
        draw(batch, length, 2, keys),
        torch.nn.functional.normalize(draw(batch, length, 2, keys), dim=-1),
        draw(batch, length, 2, values),
        draw(batch, length, 2).sigmoid(),
        -0.3 * draw(batch, length, 2).abs(),
        draw(batch, 2, keys, values),
    ]


def channel_inputs(batch: int, length: int, values: int, keys: int, seed: int = 0) -> list[Tensor]:
    """q, k, v, log_decay a key channel and an initial state of two heads in float32."""
    q, k, v, _, _, initial_state = delta_inputs(batch, length, values, keys, seed)
    return [q, k, v, -0.3 * normal(seed + 1)(batch, length, 2, keys).abs(), initial_state]


def head_inputs(batch: int, length: int, values: int, keys: int, seed: int = 0) -> list[Tensor]:
    """q, k, v, log_decay a head and an initial state of two heads in float32."""
    q, k, v, _, log_decay, initial_state = delta_inputs(batch, length, values, keys, seed)
    return [q, k, v, log_decay, initial_state]


def delta(inputs: list[Tensor], backend: str | None = "avx2") -> tuple[Tensor, Tensor]:
    *others, initial_state = inputs
    return gated_delta_rule(*others, initial_state=initial_state, backend=backend)


def linear(inputs: list[Tensor], backend: str | None = "avx2") -> tuple[Tensor, Tensor]:
    *others, initial_state = inputs
    return gated_linear_attention(*others, initial_state=initial_state, backend=backend)


HEADS = [
    pytest.param(delta, delta_inputs, id="delta"),
    pytest.param(linear, head_inputs, id="head-decay"),
    pytest.param(linear, channel_inputs, id="channel-decay"),
]
OPERATORS = [
    pytest.param(scan, scan_inputs, id="scan"),
    pytest.param(conv, conv_inputs, id="conv"),
    *HEADS,
]


def with_gradients(run: Run, inputs: list[Tensor], backend: str = "avx2") -> list[Tensor]:
    leaves = [each.detach().requires_grad_() for each in inputs]
    output, state = run(leaves, backend)
    loss = output.sin().sum() + state.sin().sum()
    return [output, state, *torch.autograd.grad(loss, leaves, materialize_grads=True)]
