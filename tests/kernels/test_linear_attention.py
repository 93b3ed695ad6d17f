"""Linear attention against its formula; `linear_attention_cases.py` holds Triton's kernels."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.kernels import linear_attention
from torch import Tensor


def parts(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """φ(q), φ(k) and v, [B, H, T, D] each."""
    q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in qkv.chunk(3, -1))
    return F.elu(q) + 1, F.elu(k) + 1, v


@given(
    sizes=st.tuples(*(st.integers(1, 5) for _ in range(4))),
    eps=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_it_is_a_mean_under_masked_products_of_features(
    sizes: tuple[int, int, int, int], eps: float, seed: int
) -> None:
    batch, length, heads, size = sizes
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(batch, length, 3 * heads * size, generator=generator, dtype=torch.float64)
    output, state = linear_attention(qkv, heads, eps=eps)
    q, k, v = parts(qkv, heads)
    weights = (q @ k.mT).tril()
    mean = weights @ v / (weights.sum(-1, keepdim=True) + eps)
    torch.testing.assert_close(output, mean.transpose(1, 2))
    torch.testing.assert_close(state, k.mT @ F.pad(v, (0, 1), value=1.0))


@given(cut=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_any_cut_gives_the_whole(cut: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(2, 9, 3 * 2 * 3, generator=generator, dtype=torch.float64)
    output, state = linear_attention(qkv, 2)
    first, between = linear_attention(qkv[:, :cut], 2)
    second, last = linear_attention(qkv[:, cut:], 2, initial_state=between)
    torch.testing.assert_close(torch.cat([first, second], 1), output)
    torch.testing.assert_close(last, state)


def test_the_gradients_are_those_of_finite_differences() -> None:
    qkv = torch.randn(2, 4, 3 * 2 * 2, dtype=torch.float64, requires_grad=True)
    state = torch.rand(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(qkv: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return linear_attention(qkv, 2, initial_state=state)

    assert torch.autograd.gradcheck(call, (qkv, state))


@pytest.mark.parametrize(
    ("shape", "heads"), [((2, 12), 2), ((1, 2, 0), 1), ((1, 2, 12), 3), ((1, 2, 12), 0)]
)
def test_what_cannot_be_cut_is_refused(shape: tuple[int, ...], heads: int) -> None:
    with pytest.raises(ValueError, match=rf"qkv must be \[B, T, 3·H·D\] for {heads} heads, not"):
        linear_attention(torch.zeros(shape), heads)


def test_no_tokens_and_a_state_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="T is 0 in qkv"):
        linear_attention(torch.zeros(1, 0, 12), 2)
    with pytest.raises(
        ValueError, match=r"initial_state must be \[B, H, D, D \+ 1\] = \[1, 2, 2, 3\], not \[1, 2"
    ):
        linear_attention(torch.zeros(1, 2, 12), 2, initial_state=torch.zeros(1, 2, 3, 2))
