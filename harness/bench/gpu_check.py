"""Checks of the GPU kernels against the float64 recurrence: output, final state, every gradient.

The inputs, and the gradients that come in, are rounded to the tested precision first; the
recurrence then computes in float64, on the GPU too. Sequences too long for a step-by-step
recurrence are held against the chunked form in float64, which the same check holds against the
recurrence at shorter lengths.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch
from lengthwise import kernels
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 4e-3}
LONGEST_RECURRENCE = 2048
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One call: an operator, what is special about it, and its float64 arguments."""

    operator: str
    name: str
    length: int
    make: Callable[[torch.Generator], Arguments]


@dataclass(frozen=True)
class Error:
    """The largest relative error of one case in one precision, and whose it is."""

    operator: str
    case: str
    dtype: str
    worst: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance


def randn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float64)


def _keys(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(randn(generator, *shape), dim=-1)


def _decay(strength: float | None, generator: torch.Generator, *shape: int) -> Tensor | None:
    if strength is None:
        return None
    return -strength * torch.rand(
        *shape, generator=generator, device=generator.device, dtype=torch.float64
    )


def delta_case(
    shape: tuple[int, int, int, int, int],
    decay: float | None,
    beta: float,
    *,
    initial: bool = True,
    repeated: bool = False,
) -> Case:
    """gated_delta_rule at (B, T, H, K, V), log-decays between 0 and −decay, one beta for all."""
    batch, length, heads, key_size, value_size = shape

    def make(generator: torch.Generator) -> Arguments:
        keys = _keys(generator, batch, length, heads, key_size)
        return {
            "q": randn(generator, batch, length, heads, key_size),
            "k": keys[:, :1].expand_as(keys).contiguous() if repeated else keys,
            "v": randn(generator, batch, length, heads, value_size),
            "beta": torch.full_like(keys[..., 0], beta),
            "log_decay": _decay(decay, generator, batch, length, heads),
            "initial_state": randn(generator, batch, heads, key_size, value_size)
            if initial
            else None,
        }

    name = f"{shape} decay {decay} beta {beta:g}{' one key' if repeated else ''}"
    return Case("gated_delta_rule", name + ("" if initial else " no state"), length, make)


def linear_case(
    shape: tuple[int, int, int, int, int], decay: float | None, *, channel: bool = False
) -> Case:
    """gated_linear_attention at (B, T, H, K, V)."""
    batch, length, heads, key_size, value_size = shape

    def make(generator: torch.Generator) -> Arguments:
        gates = (batch, length, heads, key_size) if channel else (batch, length, heads)
        return {
            "q": randn(generator, batch, length, heads, key_size),
            "k": randn(generator, batch, length, heads, key_size),
            "v": randn(generator, batch, length, heads, value_size),
            "log_decay": _decay(decay, generator, *gates),
            "initial_state": randn(generator, batch, heads, key_size, value_size),
        }

    name = f"{shape} {'channel ' if channel else ''}decay {decay}"
    return Case("gated_linear_attention", name, length, make)


def scan_case(shape: tuple[int, int, int, int]) -> Case:
    """selective_scan at (B, T, E, N)."""
    batch, length, channels, states = shape

    def make(generator: torch.Generator) -> Arguments:
        return {
            "x": randn(generator, batch, length, channels),
            "delta": torch.nn.functional.softplus(randn(generator, batch, length, channels) - 2),
            "A": -randn(generator, channels, states).exp(),
            "B": randn(generator, batch, length, states),
            "C": randn(generator, batch, length, states),
            "D": randn(generator, channels),
            "initial_state": randn(generator, batch, channels, states),
        }

    return Case("selective_scan", str(shape), length, make)


def convolution_case(shape: tuple[int, int, int, int], activation: str | None = None) -> Case:
    """causal_conv1d at (B, T, E, W)."""
    batch, length, channels, width = shape

    def make(generator: torch.Generator) -> Arguments:
        return {
            "x": randn(generator, batch, length, channels),
            "weight": randn(generator, channels, width),
            "bias": randn(generator, channels),
            "initial_state": randn(generator, batch, channels, width - 1),
            "activation": activation,
        }

    return Case("causal_conv1d", f"{shape} {activation or ''}".strip(), length, make)


def cases() -> Iterator[Case]:
    """The grid: odd lengths, one token, 65,536 tokens, head sizes, decays, strengths, states."""
    for decay in (None, 0.0, 0.1, 20.0):
        for beta in (0.0, 1.0, 2.0):
            yield delta_case((2, 131, 2, 64, 64), decay, beta, initial=beta != 1)
        yield linear_case((2, 131, 2, 64, 64), decay)
        if decay is not None:
            yield linear_case((2, 131, 2, 64, 64), decay, channel=True)
    for shape in (
        (2, 1, 2, 64, 64),
        (3, 17, 2, 16, 16),
        (2, 77, 1, 20, 40),
        (1, 300, 2, 32, 64),
        (1, 257, 2, 128, 128),
        (1, 200, 1, 256, 256),
        (1, 1531, 2, 64, 64),
        (1, 1100, 1, 128, 96),
    ):
        yield delta_case(shape, 0.1, 1.9)
        yield linear_case(shape, 0.1)
        yield linear_case(shape, 0.1, channel=True)
    yield delta_case((1, 256, 2, 64, 64), None, 1.0, repeated=True)
    yield delta_case((1, 65536, 1, 64, 64), 0.1, 1.0)
    yield linear_case((1, 65536, 1, 64, 64), 0.1)
    yield linear_case((1, 65536, 1, 64, 64), 0.1, channel=True)
    for scanned in ((2, 1, 8, 16), (2, 131, 40, 16), (1, 1531, 128, 16), (3, 70, 16, 5)):
        yield scan_case(scanned)
    yield scan_case((1, 65536, 32, 16))
    for convolved in ((2, 1, 8, 4), (2, 131, 40, 4), (1, 3000, 64, 3), (2, 9, 16, 1)):
        yield convolution_case(convolved)
        yield convolution_case(convolved, "silu")


def _run(
    case: Case, arguments: Arguments, backend: str, incoming: tuple[Tensor, ...] | None
) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """Output, state and gradients; the gradients that come in are drawn unless given."""
    leaves = {
        name: value.detach().requires_grad_() if isinstance(value, Tensor) else value
        for name, value in arguments.items()
    }
    outputs = getattr(kernels, case.operator)(**leaves, backend=backend)
    if incoming is None:
        generator = torch.Generator(outputs[0].device).manual_seed(1)
        incoming = tuple(randn(generator, *each.shape).to(each.dtype) for each in outputs)
    names = [name for name, leaf in leaves.items() if isinstance(leaf, Tensor)]
    gradients = torch.autograd.grad(
        outputs,
        [leaves[name] for name in names],
        [each.to(output.dtype) for each, output in zip(incoming, outputs, strict=True)],
        materialize_grads=True,
    )
    named = {f"d{name}": each for name, each in zip(names, gradients, strict=True)}
    return {"output": outputs[0].detach(), "state": outputs[1].detach(), **named}, incoming


def relative_error(found: Tensor, expected: Tensor, dtype: torch.dtype = torch.float32) -> float:
    """‖found − expected‖ / ‖expected‖ in float64; infinite where found is not finite.

    A difference below the smallest normal number of the precision, a number, is none: products
    of strong decays end there, and in float16 they do so early.
    """
    if expected.numel() == 0:
        return 0.0
    difference = (found.double() - expected.double()).norm().item()
    if difference <= torch.finfo(dtype).tiny * found.numel() ** 0.5:
        return 0.0
    size = expected.double().norm().item()
    return difference / size if size and difference == difference else float("inf")


def check(case: Case, dtype: torch.dtype, device: str, backend: str = "triton") -> Error:
    """Holds one case in one precision against float64."""
    exact = case.make(torch.Generator(device).manual_seed(0))
    rounded = {
        name: value.to(dtype) if isinstance(value, Tensor) else value
        for name, value in exact.items()
    }
    found, incoming = _run(case, rounded, backend, None)
    yardstick = "reference" if case.length <= LONGEST_RECURRENCE else "chunked"
    double = {
        name: value.double() if isinstance(value, Tensor) else value
        for name, value in rounded.items()
    }
    expected, _ = _run(case, double, yardstick, incoming)
    errors = {name: relative_error(found[name], each, dtype) for name, each in expected.items()}
    worst = max(errors, key=errors.__getitem__)
    name = str(dtype).removeprefix("torch.")
    return Error(case.operator, case.name, name, worst, errors[worst], TOLERANCE[dtype])


def _check_index(index: int, dtype: torch.dtype) -> Error:
    return check(list(cases())[index], dtype, "cuda")


def check_all(workers: int = 8) -> list[Error]:
    """Every case of the grid in float32, bfloat16 and float16, in processes side by side.

    The time goes into compiling each head size, and into the step-by-step recurrence.
    """
    pairs = [(index, dtype) for index in range(len(list(cases()))) for dtype in TOLERANCE]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_check_index, *zip(*pairs, strict=True)))
