"""Random calls of every operator, and how an implementation is held against float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lengthwise import kernels
from torch import Tensor

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One operator with a maker of fresh random arguments for a length."""

    operator: str
    variant: str
    make: Callable[[int, int, torch.Generator], Arguments]
    """(batch, length, generator) -> named float64 arguments, the initial state included."""

    def call(self, arguments: Arguments, **options: Any) -> tuple[Tensor, Tensor]:
        return getattr(kernels, self.operator)(**arguments, **options)

    def __str__(self) -> str:
        return f"{self.operator}-{self.variant}"


def _randn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _log_decay(strongest: float | None, generator: torch.Generator, *shape: int) -> Tensor | None:
    """Uniform between 0 and −strongest in the last head, a hundredth of that in the others.

    A tiny gradient is the difference of large ones, so the weak head gives the error its scale.
    """
    if strongest is None:
        return None
    draws = strongest * torch.rand(*shape, dtype=torch.float64, generator=generator)
    weak = torch.full_like(draws, 0.01)
    weak[:, :, -1] = 1.0
    return -weak * draws


def _delta(decay: float | None, beta: tuple[float, float]) -> Callable[..., Arguments]:
    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        heads, key_size, value_size = 2, 8, 12
        low, high = beta
        return {
            "q": _randn(generator, batch, length, heads, key_size),
            "k": torch.nn.functional.normalize(
                _randn(generator, batch, length, heads, key_size), dim=-1
            ),
            "v": _randn(generator, batch, length, heads, value_size),
            "beta": low + (high - low) * _randn(generator, batch, length, heads).sigmoid(),
            "log_decay": _log_decay(decay, generator, batch, length, heads),
            "initial_state": _randn(generator, batch, heads, key_size, value_size),
        }

    return make


def _linear(decay: float | None, *, per_channel: bool = False) -> Callable[..., Arguments]:
    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        heads, key_size, value_size = 2, 8, 12
        shape = (batch, length, heads, key_size) if per_channel else (batch, length, heads)
        return {
            "q": _randn(generator, batch, length, heads, key_size),
            "k": _randn(generator, batch, length, heads, key_size),
            "v": _randn(generator, batch, length, heads, value_size),
            "log_decay": _log_decay(decay, generator, *shape),
            "initial_state": _randn(generator, batch, heads, key_size, value_size),
        }

    return make


def _scan(batch: int, length: int, generator: torch.Generator) -> Arguments:
    channels, state_size = 6, 5
    return {
        "x": _randn(generator, batch, length, channels),
        "delta": torch.nn.functional.softplus(_randn(generator, batch, length, channels)),
        "A": -_randn(generator, channels, state_size).exp(),
        "B": _randn(generator, batch, length, state_size),
        "C": _randn(generator, batch, length, state_size),
        "D": _randn(generator, channels),
        "initial_state": _randn(generator, batch, channels, state_size),
    }


def _conv(width: int, activation: str | None = None) -> Callable[..., Arguments]:
    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        channels = 6
        return {
            "x": _randn(generator, batch, length, channels),
            "weight": _randn(generator, channels, width),
            "bias": _randn(generator, channels),
            "initial_state": _randn(generator, batch, channels, width - 1),
            "activation": activation,
        }

    return make


CASES = [
    Case("gated_delta_rule", "no-decay", _delta(None, (0, 1))),
    Case("gated_delta_rule", "weak-decay", _delta(0.01, (0, 1))),
    Case("gated_delta_rule", "strong-decay", _delta(20.0, (0, 1))),
    Case("gated_delta_rule", "beta-near-0", _delta(0.1, (0, 1e-3))),
    Case("gated_delta_rule", "beta-near-1", _delta(0.1, (0.999, 1))),
    Case("gated_delta_rule", "negative-eigenvalues", _delta(0.1, (1, 2))),
    Case("gated_linear_attention", "no-decay", _linear(None)),
    Case("gated_linear_attention", "head-decay", _linear(0.1)),
    Case("gated_linear_attention", "strong-head-decay", _linear(20.0)),
    Case("gated_linear_attention", "channel-decay", _linear(0.1, per_channel=True)),
    Case("gated_linear_attention", "strong-channel-decay", _linear(20.0, per_channel=True)),
    Case("selective_scan", "default", _scan),
    Case("causal_conv1d", "width-4", _conv(4)),
    Case("causal_conv1d", "width-1", _conv(1)),
    Case("causal_conv1d", "width-4-silu", _conv(4, "silu")),
    Case("causal_conv1d", "width-9-silu", _conv(9, "silu")),
]


def cast(arguments: Arguments, dtype: torch.dtype) -> Arguments:
    return {
        name: value.to(dtype) if isinstance(value, Tensor) else value
        for name, value in arguments.items()
    }


def outputs_and_gradients(case: Case, arguments: Arguments, backend: str) -> dict[str, Tensor]:
    """The output, the final state, and the gradient of a fixed random functional of both."""
    leaves = {
        name: value.detach().clone().requires_grad_(True) if isinstance(value, Tensor) else value
        for name, value in arguments.items()
    }
    output, state = case.call(leaves, backend=backend)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (each * _randn(generator, *each.shape).to(each.dtype)).sum() for each in (output, state)
    )
    assert isinstance(loss, Tensor)
    inputs = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, Tensor)}
    gradients = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    named = dict(zip(inputs, gradients, strict=True))
    return {
        "output": output.detach(),
        "final_state": state.detach(),
        **{f"gradient of {name}": gradient for name, gradient in named.items()},
    }


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖ in float64; 0 where both are zero."""
    if expected.numel() == 0:
        return 0.0
    difference = (found.double() - expected.double()).norm()
    return (difference / expected.double().norm().clamp_min(1e-30)).item() if difference else 0.0
