"""Who computes a problem: our backends, torch's softmax attention, and what others bring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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

SDPA = "torch SDPA"


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
    best = backend(problem, inputs)
    names = {name: None for call in (forward(best), both(best)) for name in chosen(problem, call)}
    named = replace(best, who=" then ".join(names))
    return [named] if named.who == "chunked" else [named, backend(problem, inputs, "chunked")]


def backend(problem: Problem, inputs: Inputs, name: str | None = None) -> Contender:
    """One of our backends by name, or whichever is chosen."""
    operator: Callable[..., tuple[Tensor, Tensor]] = getattr(kernels, problem.operator)

    def call(**tensors: Tensor) -> Tensor:
        return operator(**tensors, backend=name)[0]

    return Contender(name or "ours", call, inputs, problem.operations)


def chosen(problem: Problem, call: Call) -> set[str]:
    """The backends that computed the operator while the call was made."""
    with kernels.session() as entered:
        call()
    return entered.chosen[problem.operator]


def softmax_attention(inputs: Inputs, who: str = SDPA) -> Contender:
    """Causal softmax attention on the same queries, keys and values, by torch or one of ours."""
    tensors = {name: inputs[name].transpose(1, 2).contiguous() for name in ("q", "k", "v")}
    batch, length, heads, size = inputs["q"].shape

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if who == SDPA:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return kernels.softmax_attention(q, k, v, causal=True, backend=who)

    return Contender(who, call, tensors, softmax_operations(batch, length, heads, size))


def forward(contender: Contender) -> Call:
    """The forward pass alone, as in inference."""

    def call() -> Tensor:
        with torch.no_grad():
            return contender.call(**contender.inputs)

    return call


def both(contender: Contender) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward, to the gradient of every input from a random one of the output."""
    leaves = {name: each.detach().requires_grad_() for name, each in contender.inputs.items()}
    gradient: list[Tensor] = []

    def call() -> tuple[Tensor, ...]:
        output = contender.call(**leaves)
        if not gradient:
            gradient.append(torch.randn_like(output))
        return torch.autograd.grad(output, list(leaves.values()), gradient[0])

    return call
