"""Softmax attention against its formula in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.architectures.attention import Attention
from lengthwise.harness.bench.kernels.cases import relative_error
from lengthwise.kernels import session, softmax_attention
from torch import Tensor

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
each_backend = pytest.mark.parametrize("backend", ["sdpa", "reference"])


def weights(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """The softmax, row by row."""
    logits = torch.einsum("bhtk,bhsk->bhts", q, k) / q.shape[-1] ** 0.5 + bias
    raised = (logits - logits.amax(-1, keepdim=True)).exp()
    return raised / raised.sum(-1, keepdim=True)


@each_backend
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda each: str(each)[6:])
@given(
    sizes=st.tuples(*(st.integers(1, 9) for _ in range(5))),
    more=st.integers(0, 5),
    hidden=st.sampled_from(["nothing", "by a bias", "causal"]),
    seed=st.integers(0, 2**32),
)
def test_output_and_gradients_equal_float64(
    backend: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int, int, int],
    more: int,
    hidden: str,
    seed: int,
) -> None:
    batch, heads, length, key_size, value_size = sizes
    keys = length if hidden == "causal" else length + more
    generator = torch.Generator().manual_seed(seed)
    q, k, v, incoming = (
        torch.randn(batch, heads, *shape, generator=generator).to(dtype)
        for shape in (
            (length, key_size), (keys, key_size), (keys, value_size), (length, value_size)
        )
    )  # fmt: skip
    bias = torch.zeros(heads, length, keys)
    if hidden != "nothing":
        later = torch.ones(length, keys, dtype=torch.bool).triu(keys - length + 1)
        bias = bias.masked_fill(later, -torch.inf)
    if hidden == "by a bias":
        bias = bias + torch.randn(heads, length, keys, generator=generator)
    bias = bias.to(dtype)
    options = {"causal": True} if hidden == "causal" else {"bias": bias}

    leaves = [each.requires_grad_() for each in (q, k, v)]
    output = softmax_attention(*leaves, **options, backend=backend)  # pyright: ignore[reportArgumentType]
    found = torch.autograd.grad(output, leaves, incoming)
    exact = [each.detach().double().requires_grad_() for each in leaves]
    expected = weights(exact[0], exact[1], bias.double()) @ exact[2]
    gradients = torch.autograd.grad(expected, exact, incoming.double())
    assert output.dtype == dtype
    size = exact[2].norm()
    assert (output - expected).norm() <= TOLERANCE[dtype] * size
    # Gradients of q and k are differences of terms of these sizes.
    of_logits = incoming.double().norm() * size
    scales = (of_logits * exact[1].norm(), of_logits * exact[0].norm(), incoming.double().norm())
    for one, gradient, scale in zip(found, gradients, scales, strict=True):
        assert one.dtype == dtype
        assert (one.double() - gradient).norm() <= TOLERANCE[dtype] * scale


@each_backend
def test_stacking_by_vmap_equals_one_call_a_member(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, 2, 9, 4, generator=generator) for _ in range(3))

    def attend(*each: Tensor) -> Tensor:
        return softmax_attention(*each, causal=True, backend=backend)

    stacked = torch.func.vmap(attend)(q, k, v)
    for index in range(3):
        assert relative_error(stacked[index], attend(q[index], k[index], v[index])) <= 1e-6


def test_a_layer_uses_the_causal_form_and_the_bias_form() -> None:
    x = torch.randn(2, 5, 8)
    with session("reference") as entered:
        expected, _ = Attention(8, positions="rope")(x)
    assert entered.chosen["softmax_attention"] == {"reference"}
    assert expected.shape == x.shape
    with session("chunked") as entered:
        for positions in ("rope", "alibi"):
            Attention(8, positions=positions)(x)
    assert entered.chosen["softmax_attention"] == {"sdpa"}


def test_contradicting_arguments_are_named() -> None:
    q = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"v must be \[B, H, S, V\] with S = 3 as in k"):
        softmax_attention(q, q, q[:, :, :2])
    with pytest.raises(ValueError, match="causal goes without a bias"):
        softmax_attention(q, q, q, bias=torch.zeros(3, 3), causal=True)
    with pytest.raises(ValueError, match="not S = 3 and T = 1"):
        softmax_attention(q[:, :, :1], q, q, causal=True)
