"""The cut into heads and its feature maps by their formulas; `heads_cases.py` holds Triton's."""

import pytest
import torch
import torch.nn.functional as F
from lengthwise.kernels import l2_norm, qkv_heads
from lengthwise.kernels.qkv_heads import FeatureMap


def test_unit_is_a_cut_and_two_norms() -> None:
    qkv = torch.randn(2, 5, 3 * 2 * 4, dtype=torch.float64)
    found = qkv_heads(qkv, 2, feature_map="unit", eps=0.1)
    q, k, v = (each.unflatten(-1, (2, 4)) for each in qkv.chunk(3, -1))
    torch.testing.assert_close(found, (l2_norm(q, eps=0.1), l2_norm(k, eps=0.1), v))


def test_elu_is_torchs_plus_one_and_values_may_end_in_a_one() -> None:
    qkv = torch.randn(2, 5, 3 * 2 * 4, dtype=torch.float64)
    found = qkv_heads(qkv, 2, feature_map="elu", append_one=True)
    q, k, v = (each.unflatten(-1, (2, 4)) for each in qkv.chunk(3, -1))
    one = torch.ones(2, 5, 2, 1, dtype=torch.float64)
    torch.testing.assert_close(found, (F.elu(q) + 1, F.elu(k) + 1, torch.cat([v, one], -1)))


@pytest.mark.parametrize("append_one", [False, True])
@pytest.mark.parametrize("feature_map", ["unit", "elu"])
def test_the_gradient_is_that_of_finite_differences(
    feature_map: FeatureMap, append_one: bool
) -> None:
    qkv = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)

    def call(qkv: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return qkv_heads(qkv, 2, feature_map=feature_map, append_one=append_one)

    assert torch.autograd.gradcheck(call, qkv)


@pytest.mark.parametrize(("shape", "heads"), [((), 1), ((2, 0), 1), ((2, 12), 3), ((2, 12), 0)])
def test_what_cannot_be_cut_is_refused(shape: tuple[int, ...], heads: int) -> None:
    with pytest.raises(ValueError, match=rf"qkv must be \[..., 3·H·K\] for {heads} heads, not"):
        qkv_heads(torch.zeros(shape), heads, feature_map="unit")


def test_half_precision_is_rounded_once() -> None:
    qkv = torch.linspace(-6, 6, 48).bfloat16()
    found = qkv_heads(qkv, 2, feature_map="elu")
    exact = qkv_heads(qkv.double(), 2, feature_map="elu")
    assert all(torch.equal(one, each.bfloat16()) for one, each in zip(found, exact, strict=True))


def test_an_unknown_feature_map_is_refused() -> None:
    with pytest.raises(ValueError, match="feature_map must be 'unit' or 'elu', not 'relu'"):
        qkv_heads(torch.zeros(3), 1, feature_map="relu")  # pyright: ignore[reportArgumentType]
