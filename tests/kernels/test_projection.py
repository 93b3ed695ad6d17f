"""The projection by torch's product; `projection_cases.py` holds Triton's against it."""

import pytest
import torch
import torch.nn.functional as F
from lengthwise.kernels import linear


def test_it_is_torch_s_product() -> None:
    x, weight, bias = torch.randn(2, 3, 5), torch.randn(7, 5), torch.randn(7)
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
    assert linear(x[0, 0], weight).shape == (7,)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        ((2, 4), (7, 5), None, r"x must be \[..., D\] and weight \[O, D\]"),
        ((2, 5), (7, 5), (5,), r"bias must be \[O\] = \[7\], not \[5\]"),
    ],
)
def test_shapes_that_contradict_each_other_are_named(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        linear(torch.zeros(x), torch.zeros(weight), None if bias is None else torch.zeros(bias))
