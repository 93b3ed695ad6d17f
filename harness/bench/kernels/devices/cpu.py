"""On a CPU: float32, beside transformers' torch functions and torch's softmax attention."""

from collections.abc import Mapping, Sequence

from lengthwise.harness.bench.kernels import huggingface
from lengthwise.harness.bench.kernels.contenders import (
    Contender,
    Missing,
    softmax_attention,
)
from lengthwise.harness.bench.kernels.problems import HEAD_DECAY, Inputs, Problem, Shape

_ATTENTION: tuple[Shape, ...] = ((8, 1024, 2, 64), (32, 256, 2, 64), (64, 64, 2, 64))
SHAPES: Mapping[str, Sequence[Shape]] = {
    "gated_delta_rule": (*_ATTENTION, (1, 16384, 2, 64)),
    "gated_linear_attention": _ATTENTION,
    "selective_scan": ((8, 1024, 128, 16), (64, 64, 128, 16)),
    "causal_conv1d": ((8, 1024, 128, 4),),
}
DECODED: Mapping[str, Problem] = {
    "gated_delta_rule": Problem("gated_delta_rule", HEAD_DECAY, (1, 1, 4, 64)),
    "gated_linear_attention": Problem("gated_linear_attention", HEAD_DECAY, (1, 1, 4, 64)),
    "selective_scan": Problem("selective_scan", "", (1, 1, 128, 16)),
    "causal_conv1d": Problem("causal_conv1d", "", (1, 1, 128, 4)),
}
"""One token, one sequence."""

_RIVALS: Mapping[str, huggingface.Rival] = {
    "gated_delta_rule": huggingface.gated_delta_rule,
    "selective_scan": huggingface.selective_scan,
    "causal_conv1d": huggingface.causal_conv1d,
}
_DECODING: Mapping[str, huggingface.Rival] = {
    "gated_delta_rule": huggingface.gated_delta_step,
    "selective_scan": huggingface.selective_step,
    "causal_conv1d": huggingface.causal_conv1d_step,
}


def rivals(problem: Problem, inputs: Inputs) -> list[Contender | Missing]:
    """Who else computes the same, or takes its place in a model."""
    found: list[Contender | Missing] = []
    if problem.operator in _RIVALS:
        found.append(_RIVALS[problem.operator](problem, inputs))
    if {"q", "k", "v"} <= inputs.keys():
        found.append(softmax_attention(inputs))
    return found


def decoding_rivals(problem: Problem, inputs: Inputs) -> list[Contender | Missing]:
    """Who else computes one token from a state."""
    rival = _DECODING.get(problem.operator)
    return [rival(problem, inputs)] if rival else []
