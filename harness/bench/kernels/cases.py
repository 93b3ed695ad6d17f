"""Random calls of every operator, and how a backend's results are held against float64."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lengthwise import kernels
from torch import Tensor

Arguments = dict[str, Any]
SINGLE = {"beta", "log_decay", "A", "D", "delta_bias", "weight", "bias"}
"""Arguments that training in half precision leaves in float32."""


@dataclass(frozen=True)
class Case:
    """One operator with a maker of fresh random arguments for a batch and a length."""

    operator: str
    variant: str
    make: Callable[[int, int, torch.Generator], Arguments]
    """(batch, length, generator) -> named float64 arguments, on the generator's device."""
    differences: frozenset[str] = frozenset()
    """The gradients that may vanish though the terms that they are summed from do not."""

    def call(self, arguments: Arguments, **options: Any) -> tuple[Tensor, ...]:
        """The output, and the final state of an operator that has one."""
        found = getattr(kernels, self.operator)(**arguments, **options)
        return (found,) if isinstance(found, Tensor) else found

    def __str__(self) -> str:
        return f"{self.operator}-{self.variant}"


def randn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float64)


def _log_decay(strongest: float | None, generator: torch.Generator, *shape: int) -> Tensor | None:
    """Uniform between 0 and −strongest in the last head, a hundredth of that in the others.

    A tiny gradient is the difference of large ones, so the weak head gives the error its scale.
    """
    if strongest is None:
        return None
    draws = strongest * torch.rand(
        *shape, generator=generator, device=generator.device, dtype=torch.float64
    )
    weak = torch.full_like(draws, 0.01)
    weak[:, :, -1] = 1.0
    return -weak * draws


def delta(
    heads: int,
    key_size: int,
    value_size: int,
    decay: float | None,
    beta: tuple[float, float],
    *,
    repeated: bool = False,
    state: bool = True,
) -> Case:
    """gated_delta_rule; `repeated` for one key at all times, no `state` for none to start from."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        keys = randn(generator, batch, length, heads, key_size)
        low, high = beta
        strength = low + (high - low) * randn(generator, batch, length, heads).sigmoid()
        initial = randn(generator, batch, heads, key_size, value_size)
        return {
            "q": randn(generator, batch, length, heads, key_size),
            "k": torch.nn.functional.normalize(
                keys[:, :1].expand_as(keys) if repeated else keys, dim=-1
            ),
            "v": randn(generator, batch, length, heads, value_size),
            "beta": strength,
            "log_decay": _log_decay(decay, generator, batch, length, heads),
            "initial_state": initial if state else None,
        }

    name = f"{heads}x{key_size}x{value_size}-decay-{decay}-beta-{beta[0]:g}-{beta[1]:g}"
    name += "-one-key" if repeated else ""
    return Case("gated_delta_rule", name + ("" if state else "-no-state"), make)


def linear(
    heads: int, key_size: int, value_size: int, decay: float | None, *, channel: bool = False
) -> Case:
    """gated_linear_attention, with a decay a head or a key channel."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        shape = (batch, length, heads)
        gates = (*shape, key_size) if channel else shape
        return {
            "q": randn(generator, *shape, key_size),
            "k": randn(generator, *shape, key_size),
            "v": randn(generator, *shape, value_size),
            "log_decay": _log_decay(decay, generator, *gates),
            "initial_state": randn(generator, batch, heads, key_size, value_size),
        }

    kind = "channel-decay" if channel else "decay"
    name = f"{heads}x{key_size}x{value_size}-{kind}-{decay}"
    return Case("gated_linear_attention", name, make)


def weighted_mean(heads: int, size: int) -> Case:
    """linear_attention, from no state."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        return {"qkv": randn(generator, batch, length, 3 * heads * size), "heads": heads}

    return Case("linear_attention", f"{heads}x{size}", make)


def scan(channels: int, states: int, *, bias: bool = False) -> Case:
    """selective_scan, of step sizes or of what they are made of with a `bias`."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        raw = randn(generator, batch, length, channels)
        return {
            "x": randn(generator, batch, length, channels),
            "delta": raw if bias else torch.nn.functional.softplus(raw - 1),
            "delta_bias": randn(generator, channels) - 3 if bias else None,
            "A": -randn(generator, channels, states).exp(),
            "B": randn(generator, batch, length, states),
            "C": randn(generator, batch, length, states),
            "D": randn(generator, channels),
            "initial_state": randn(generator, batch, channels, states),
        }

    return Case("selective_scan", f"{channels}x{states}" + "-bias" * bias, make)


def convolution(channels: int, width: int, activation: str | None = None) -> Case:
    """causal_conv1d."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        return {
            "x": randn(generator, batch, length, channels),
            "weight": randn(generator, channels, width),
            "bias": randn(generator, channels),
            "initial_state": randn(generator, batch, channels, width - 1),
            "activation": activation,
        }

    return Case("causal_conv1d", f"{channels}x{width}" + f"-{activation}" * bool(activation), make)


def attention(heads: int, key_size: int, value_size: int) -> Case:
    """softmax_attention, causal; heads lie side by side in memory, as models give them."""

    def make(batch: int, length: int, generator: torch.Generator) -> Arguments:
        sizes = {"q": key_size, "k": key_size, "v": value_size}
        draws = {
            name: randn(generator, batch, length, heads, size).transpose(1, 2)
            for name, size in sizes.items()
        }
        return draws | {"causal": True}

    name = f"{heads}x{key_size}x{value_size}"
    return Case("softmax_attention", name, make, frozenset({"dq", "dk"}))


def cast(arguments: Arguments, dtype: torch.dtype, single: torch.dtype | None = None) -> Arguments:
    """The tensors in a precision, those of SINGLE in another where one is given."""
    return {
        name: value.to(single if single and name in SINGLE else dtype)
        if isinstance(value, Tensor)
        else value
        for name, value in arguments.items()
    }


def outputs_and_gradients(
    case: Case, arguments: Arguments, backend: str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The output, the final state if any, and the gradient of a fixed random functional of both.

    Its coefficients are rounded to the dtype, so that float64 gets the same.
    """
    leaves = {
        name: value.detach().clone().requires_grad_() if isinstance(value, Tensor) else value
        for name, value in arguments.items()
    }
    outputs = case.call(leaves, backend=backend)
    generator = torch.Generator(outputs[0].device).manual_seed(1)
    incoming = [randn(generator, *each.shape).to(dtype).to(each.dtype) for each in outputs]
    inputs = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, Tensor)}
    gradients = torch.autograd.grad(
        outputs, list(inputs.values()), incoming, materialize_grads=True
    )
    named = {f"d{name}": each for name, each in zip(inputs, gradients, strict=True)}
    results = {
        name: each.detach() for name, each in zip(("output", "state"), outputs, strict=False)
    }
    return results | named


def relative_error(
    found: Tensor, expected: Tensor, dtype: torch.dtype = torch.float32, scale: float = 0.0
) -> float:
    """‖found − expected‖ / ‖expected‖ in float64; infinite where found is not finite.

    Zeros that are expected have no size of their own: the scale, if it is not 0, stands for it.
    A difference below the smallest normal number of the precision, a number, is none: products
    of strong decays end there, and in float16 they do so early.

    >>> zero = torch.zeros(1)
    >>> relative_error(zero + 0.5, zero), relative_error(zero + 0.5, zero, scale=2.0)
    (inf, 0.25)
    """
    if expected.numel() == 0:
        return 0.0
    difference = (found.double() - expected.double()).norm().item()
    if difference <= torch.finfo(dtype).tiny * found.numel() ** 0.5:
        return 0.0
    size = expected.double().norm().item() or scale
    return difference / size if size and difference == difference else float("inf")
