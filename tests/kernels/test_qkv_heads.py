"""The cut into heads of unit length by its formula; `heads_cases.py` holds Triton's against it."""

import pytest
import torch
from lengthwise.kernels import l2_norm, qkv_heads


def test_it_is_a_cut_and_two_norms() -> None:
    qkv = torch.randn(2, 5, 3 * 2 * 4, dtype=torch.float64)
    found = qkv_heads(qkv, 2, eps=0.1)
    q, k, v = (each.unflatten(-1, (2, 4)) for each in qkv.chunk(3, -1))
    torch.testing.assert_close(found, (l2_norm(q, eps=0.1), l2_norm(k, eps=0.1), v))


def test_the_gradient_is_that_of_finite_differences() -> None:
    qkv = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda qkv: qkv_heads(qkv, 2), qkv)


@pytest.mark.parametrize(("shape", "heads"), [((), 1), ((2, 0), 1), ((2, 12), 3), ((2, 12), 0)])
def test_what_cannot_be_cut_is_refused(shape: tuple[int, ...], heads: int) -> None:
    with pytest.raises(ValueError, match=rf"qkv must be \[..., 3·H·K\] for {heads} heads, not"):
        qkv_heads(torch.zeros(shape), heads)


def test_half_precision_is_rounded_once() -> None:
    qkv = torch.linspace(-6, 6, 48).bfloat16()
    found = qkv_heads(qkv, 2)
    exact = qkv_heads(qkv.double(), 2)
    assert all(torch.equal(one, each.bfloat16()) for one, each in zip(found, exact, strict=True))
