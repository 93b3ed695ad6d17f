"""Operators against other people's implementations."""

import pytest
import torch
from lengthwise import kernels
from lengthwise.harness.bench.kernels.cases import Case, cast, delta, relative_error

DELTA = [
    delta(2, 8, 12, 0.01, (0, 1)),
    delta(2, 8, 12, 20.0, (0, 1)),
    delta(2, 8, 12, 0.1, (0.999, 1)),
]


@pytest.mark.parametrize("case", DELTA, ids=str)
def test_the_gated_delta_rule_equals_the_one_in_transformers(case: Case) -> None:
    theirs = pytest.importorskip(
        "transformers.models.qwen3_next.modeling_qwen3_next",
        reason="the test extra brings transformers",
    ).torch_chunk_gated_delta_rule
    arguments = cast(case.make(2, 97, torch.Generator().manual_seed(0)), torch.float32)
    output, state = kernels.gated_delta_rule(**arguments)
    expected, expected_state = theirs(
        arguments["q"],
        arguments["k"],
        arguments["v"],
        g=arguments["log_decay"],
        beta=arguments["beta"],
        initial_state=arguments["initial_state"],
        output_final_state=True,
    )
    assert relative_error(output, expected) <= 1e-5
    assert relative_error(state, expected_state) <= 1e-5


@pytest.mark.parametrize("causal", [True, False])
def test_stacked_softmax_attention_equals_one_call_a_member(causal: bool) -> None:
    q, k, v = (
        torch.randn(3, 2, 2, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    bias = None if causal else torch.randn(2, 9, 9, dtype=torch.float64)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return kernels.softmax_attention(q, k, v, bias=bias, causal=causal)

    stacked = torch.func.vmap(attend)(q, k, v)
    alone = torch.stack([attend(*each) for each in zip(q, k, v, strict=True)])
    torch.testing.assert_close(stacked, alone)
    gradients = torch.autograd.grad(stacked.square().sum(), (q, k, v))
    for found, expected in zip(
        gradients, torch.autograd.grad(alone.square().sum(), (q, k, v)), strict=True
    ):
        torch.testing.assert_close(found, expected)
