"""The projection by torch's product; `projection_cases.py` holds Triton's against it."""

import pytest
import torch
import torch.nn.functional as F
from lengthwise.kernels import linear, linear_parts, swiglu_linear


def test_it_is_torch_s_product() -> None:
    x, weight, bias = torch.randn(2, 3, 5), torch.randn(7, 5), torch.randn(7)
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
    assert linear(x[0, 0], weight).shape == (7,)


def test_parts_are_cut_from_the_whole() -> None:
    x, weight = torch.randn(2, 3, 5), torch.randn(7, 5)
    parts = linear_parts(x, weight, [4, 1, 2])
    assert [each.shape for each in parts] == [(2, 3, 4), (2, 3, 1), (2, 3, 2)]
    torch.testing.assert_close(torch.cat(parts, -1), F.linear(x, weight))
    assert torch.equal(linear_parts(x, weight, [4, 3], onward=True)[-1], x)


@pytest.mark.parametrize("sizes", [[], [4, 2], [8, -1], [7, 0]], ids=str)
def test_sizes_that_do_not_cut_the_whole_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="sizes must be positive and add up to O = 7, not"):
        linear_parts(torch.zeros(2, 5), torch.zeros(7, 5), sizes)


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


def test_a_gated_projection_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    gate, up, weight = (
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((2, 3, 5), (2, 3, 5), (4, 5))
    )
    expected = (gate / (1 + torch.exp(-gate)) * up) @ weight.T
    torch.testing.assert_close(swiglu_linear(gate, up, weight), expected)
    assert torch.autograd.gradcheck(swiglu_linear, (gate, up, weight))


def test_a_gated_projection_names_shapes_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"up must be \[2, 5\] as gate, not \[2, 4\]"):
        swiglu_linear(torch.zeros(2, 5), torch.zeros(2, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"weight must be \[O, D\] with D = 5 as in gate, not"):
        swiglu_linear(torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(3, 4))
