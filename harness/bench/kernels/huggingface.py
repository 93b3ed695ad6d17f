"""The torch implementations in Hugging Face's transformers, where it is installed.

They are its plain torch functions, what it runs on a machine without the optional GPU packages,
called without the layer around them: of Mamba the scan alone, discretisation included, as in
ours. Inputs come in the layout that each was made for. Every one also returns the final state.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from lengthwise.harness.bench.kernels.contenders import Contender, Missing
from lengthwise.harness.bench.kernels.problems import Inputs, Problem
from torch import Tensor

Rival = Callable[[Problem, Inputs], Contender | Missing]
WHO = "transformers"


def gated_delta_rule(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The chunked form of its Qwen3-Next."""
    return _contender(
        problem,
        ("qwen3_next", "torch_chunk_gated_delta_rule"),
        _renamed(inputs, q="query", k="key", v="value", log_decay="g"),
        {"output_final_state": True},
    )


def gated_delta_step(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The recurrent form of its Qwen3-Next, which it decodes with."""
    return _contender(
        problem,
        ("qwen3_next", "torch_recurrent_gated_delta_rule"),
        _renamed(inputs, q="query", k="key", v="value", log_decay="g"),
        {"output_final_state": True},
    )


def selective_scan(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The sequential scan of its Mamba, time last."""
    by_token = {name: each.mT.contiguous() for name, each in inputs.items() if each.dim() == 3}
    return _contender(
        problem,
        ("mamba", "mamba_selective_scan"),
        _renamed(inputs | by_token, x="hidden_states", delta="dt"),
        {"return_last_state": True},
    )


def selective_step(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The one-token update of its Mamba."""
    token = {name: inputs[name][:, 0] for name in ("x", "delta", "B", "C")}
    return _contender(
        problem,
        ("mamba", "mamba_selective_state_update"),
        _renamed(inputs | token, x="hidden_states", delta="dt", initial_state="state"),
        {},
    )


def causal_conv1d(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The short convolution of its Mamba, time last."""
    x = inputs["x"].mT.contiguous()
    return _contender(
        problem, ("mamba", "causal_conv1d_fn"), _renamed(inputs | {"x": x}, x="hidden_states"), {}
    )


def causal_conv1d_step(problem: Problem, inputs: Inputs) -> Contender | Missing:
    """The one-token update of its Mamba's convolution."""
    x = inputs["x"].mT.contiguous()
    names = {"x": "hidden_states", "initial_state": "conv_state"}
    return _contender(
        problem, ("mamba", "causal_conv1d_update"), _renamed(inputs | {"x": x}, **names), {}
    )


def _renamed(inputs: Inputs, **names: str) -> Inputs:
    return {names.get(name, name): each for name, each in inputs.items()}


def _contender(
    problem: Problem, place: tuple[str, str], inputs: Inputs, options: dict[str, Any]
) -> Contender | Missing:
    model, name = place
    try:
        module = import_module(f"transformers.models.{model}.modeling_{model}")
    except ImportError:
        return Missing(WHO, "not installed: pip install transformers")
    if not hasattr(module, name):
        return Missing(WHO, f"this version has no {name}")
    # Its decorators look for GPU packages and count calls; inside is the torch code alone.
    function = inspect.unwrap(getattr(module, name))

    def call(**tensors: Tensor) -> Tensor:
        output = function(**tensors, **options)
        return output[0] if isinstance(output, tuple) else output

    return Contender(WHO, call, inputs, problem.operations)
