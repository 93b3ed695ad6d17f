"""Who computes a problem: our backends, torch's softmax attention, and what others bring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lengthwise import kernels
from lengthwise.harness.bench.kernels.problems import (
    Inputs,
    Operations,
    Problem,
    softmax_operations,
)
from lengthwise.harness.bench.kernels.timing import Call
from torch import Tensor


@dataclass(frozen=True)
class Contender:
    """One implementation, with its inputs in the layout that it is made for."""

    who: str
    call: Callable[..., Tensor]
    """The inputs by name -> the output."""
    inputs: Mapping[str, Tensor]
    operations: Operations


@dataclass(frozen=True)
class Missing:
    """An implementation that cannot be measured here."""

    who: str
    why: str


def ours(problem: Problem, inputs: Inputs) -> list[Contender]:
    """The backend that is chosen, by name, and `chunked` after it where that is another."""
    best = _backend(problem, inputs, None)
    names = {name: None for call in (forward(best), both(best)) for name in _chosen(problem, call)}
    chosen = Contender(" then ".join(names), best.call, inputs, problem.operations)
    return [chosen] if chosen.who == "chunked" else [chosen, _backend(problem, inputs, "chunked")]


def _backend(problem: Problem, inputs: Inputs, name: str | None) -> Contender:
    operator: Callable[..., tuple[Tensor, Tensor]] = getattr(kernels, problem.operator)

    def call(**tensors: Tensor) -> Tensor:
        return operator(**tensors, backend=name)[0]

    return Contender(name or "", call, inputs, problem.operations)


def _chosen(problem: Problem, call: Call) -> set[str]:
    with kernels.session() as entered:
        call()
    return entered.chosen[problem.operator]


def softmax_attention(inputs: Inputs) -> Contender:
    """torch's causal softmax attention on the same queries, keys and values."""
    tensors = {name: inputs[name].transpose(1, 2).contiguous() for name in ("q", "k", "v")}
    batch, length, heads, size = inputs["q"].shape

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    return Contender("torch SDPA", call, tensors, softmax_operations(batch, length, heads, size))


def forward(contender: Contender) -> Call:
    """The forward pass alone, as in inference."""

    def call() -> Tensor:
        with torch.no_grad():
            return contender.call(**contender.inputs)

    return call


def both(contender: Contender) -> Call:
    """Forward and backward, to the gradient of every input from a random one of the output."""
    leaves = {name: each.detach().requires_grad_() for name, each in contender.inputs.items()}
    gradient: list[Tensor] = []

    def call() -> Any:
        output = contender.call(**leaves)
        if not gradient:
            gradient.append(torch.randn_like(output))
        return torch.autograd.grad(output, list(leaves.values()), gradient[0])

    return call
