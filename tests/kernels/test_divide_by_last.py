"""The quotient by its formula; `quotient_cases.py` holds Triton's against it."""

import pytest
import torch
from lengthwise.kernels import divide_by_last


def test_weighted_sums_of_values_and_ones_become_means() -> None:
    weights, values = torch.rand(4, 7, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    sums = weights @ torch.cat([values, torch.ones(7, 1, dtype=torch.float64)], -1)
    means = (weights / weights.sum(-1, keepdim=True)) @ values
    torch.testing.assert_close(divide_by_last(sums, eps=0.0), means)


def test_eps_is_added_to_the_divisor() -> None:
    assert divide_by_last(torch.tensor([3.0, 1.0]), eps=0.5).tolist() == [2.0]
    assert divide_by_last(torch.zeros(4)).tolist() == [0.0] * 3


def test_the_gradient_is_that_of_finite_differences() -> None:
    x = (torch.rand(3, 2, 5, dtype=torch.float64) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(divide_by_last, x)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (3, 0)])
def test_a_row_without_a_dividend_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x must be \[..., V \+ 1\] with V of at least 1, not"):
        divide_by_last(torch.zeros(shape))
