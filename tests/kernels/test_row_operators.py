"""Norms and gates of rows against their formulas in float64, alone and stacked."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise import kernels
from lengthwise.kernels import l2_norm, rms_norm, swiglu
from torch import Tensor

from tests.kernels.cases import relative_error

TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 4e-3}
SHAPES = [(7,), (1,), (1, 1), (3, 5), (2, 3, 8), (2, 1, 3, 4), (0, 4)]

any_shape = st.tuples(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 70)).map(
    lambda pair: (*pair[0], pair[1])
)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])


def draw(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def silu(gate: Tensor) -> Tensor:
    return gate / (1 + torch.exp(-gate))


@each_dtype
@given(shape=any_shape, seed=st.integers(0, 2**32), weighted=st.booleans(), gated=st.booleans())
def test_rms_norm_is_its_formula(
    dtype: torch.dtype, shape: tuple[int, ...], seed: int, weighted: bool, gated: bool
) -> None:
    x, gate, weight = (each.to(dtype) for each in draw(seed, shape, shape, shape[-1:]))
    found = rms_norm(x, weight if weighted else None, gate=gate if gated else None, eps=1e-5)
    exact = x.double()
    expected = exact / torch.sqrt((exact * exact).sum(-1, keepdim=True) / shape[-1] + 1e-5)
    if weighted:
        expected = expected * weight.double()
    if gated:
        expected = expected * silu(gate.double())
    assert found.dtype == dtype
    assert relative_error(found, expected) <= TOLERANCE[dtype]


@each_dtype
@given(shape=any_shape, seed=st.integers(0, 2**32))
def test_l2_norm_and_swiglu_are_their_formulas(
    dtype: torch.dtype, shape: tuple[int, ...], seed: int
) -> None:
    x, gate = (each.to(dtype) for each in draw(seed, shape, shape))
    unit = x.double() / torch.sqrt((x.double() * x.double()).sum(-1, keepdim=True) + 1e-6)
    assert relative_error(l2_norm(x), unit) <= TOLERANCE[dtype]
    product = silu(gate.double()) * x.double()
    assert relative_error(swiglu(gate, x), product) <= TOLERANCE[dtype]


CALLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "rms-norm": lambda x, gate, weight: rms_norm(x, weight, gate=gate),
    "rms-norm-ungated": lambda x, gate, weight: rms_norm(x, weight) + 0 * gate,
    "rms-norm-plain": lambda x, gate, weight: rms_norm(x) + 0 * gate * weight,
    "l2-norm": lambda x, gate, weight: l2_norm(x) * gate * weight,
    "swiglu": lambda x, gate, weight: swiglu(gate, x) * weight,
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_those_of_finite_differences(
    call: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    leaves = [each.requires_grad_() for each in draw(0, shape, shape, shape[-1:])]
    assert torch.autograd.gradcheck(call, leaves)


@each_call
def test_stacking_by_vmap_equals_one_call_a_member(call: Callable[..., Tensor]) -> None:
    stacked = [each.requires_grad_() for each in draw(0, (3, 2, 5, 8), (3, 2, 5, 8), (3, 8))]
    output = torch.func.vmap(call)(*stacked)
    gradients = torch.autograd.grad(output.sin().sum(), stacked)
    for member in range(3):
        leaves = [each[member].detach().requires_grad_() for each in stacked]
        alone = call(*leaves)
        torch.testing.assert_close(output[member], alone)
        expected = torch.autograd.grad(alone.sin().sum(), leaves)
        for found, one in zip(gradients, expected, strict=True):
            torch.testing.assert_close(found[member], one)


def test_mixed_dtypes_give_the_rows_dtype_and_gradients_in_each_ones_own() -> None:
    x, gate, weight = draw(0, (3, 5), (3, 5), (5,))
    leaves = [x.bfloat16().requires_grad_(), gate.requires_grad_(), weight.float().requires_grad_()]
    with torch.autocast("cpu", torch.bfloat16):
        output = rms_norm(leaves[0], leaves[2], gate=leaves[1])
        product = swiglu(leaves[0], leaves[1])
    assert output.dtype == product.dtype == torch.bfloat16
    gradients = torch.autograd.grad((output * product).sum(), leaves)
    assert [each.dtype for each in gradients] == [each.dtype for each in leaves]


def test_half_precision_is_summed_in_float32() -> None:
    x = torch.full((4096,), 100.0, dtype=torch.float16)
    torch.testing.assert_close(rms_norm(x), torch.ones_like(x))
    torch.testing.assert_close(l2_norm(x), torch.full_like(x, 1 / 64))


def test_a_row_of_zeros_stays_one_and_its_gradient_finite() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    for output in (rms_norm(x), l2_norm(x)):
        assert not output.any()
        (gradient,) = torch.autograd.grad(output.sum(), x)
        assert gradient.isfinite().all()


def test_contradicting_shapes_are_named() -> None:
    x = torch.zeros(2, 4)
    with pytest.raises(ValueError, match=r"weight must be \[D\] = \[4\], not \[2\]"):
        rms_norm(x, torch.ones(2))
    with pytest.raises(ValueError, match=r"gate must be \[2, 4\] as x, not \[4\]"):
        rms_norm(x, gate=torch.ones(4))
    with pytest.raises(ValueError, match=r"up must be \[2, 4\] as gate, not \[2, 5\]"):
        swiglu(x, torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"x must be .* not a number"):
        l2_norm(torch.tensor(1.0))


def test_a_default_that_an_operator_lacks_means_its_best_of_lower_preference() -> None:
    x = torch.zeros(2, 4)
    with kernels.session("chunked") as entered:
        rms_norm(x)
    assert entered.chosen == {"rms_norm": {"reference"}}
    with pytest.raises(kernels.BackendUnavailableError, match="has no backend 'chunked'"):
        rms_norm(x, backend="chunked")
    with (
        kernels.session("chunk"),
        pytest.raises(kernels.BackendUnavailableError, match="no backend"),
    ):
        rms_norm(x)
