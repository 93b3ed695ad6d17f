"""The tests of the quotient in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

from functools import partial

import pytest
import torch
from lengthwise.kernels import BackendUnavailableError, divide_by_last
from torch import Tensor

from tests.kernels.cases import relative_error

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}


def draw(*shape: int) -> Tensor:
    """Numbers of both signs, and divisors from 0.5 on."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x[..., -1] = x[..., -1].abs() + 0.5
    return x.to(DEVICE)


def output_and_gradient(x: Tensor, backend: str, *, members: bool) -> list[Tensor]:
    """The quotient and, for a fixed gradient of it, that of x [P, …] where it has members."""
    leaf = x.detach().requires_grad_()
    call = partial(divide_by_last, eps=0.1, backend=backend)
    output = (torch.func.vmap(call) if members else call)(leaf)
    incoming = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(DEVICE)
    return [output, *torch.autograd.grad(output, leaf, incoming.half().to(output.dtype))]


def hold(x: Tensor, *, members: bool) -> None:
    found = output_and_gradient(x, "triton", members=members)
    expected = output_and_gradient(x.double(), "reference", members=members)
    for one, exact in zip(found, expected, strict=True):
        assert one.dtype == x.dtype
        assert one.shape == exact.shape
        assert relative_error(one, exact) <= TOLERANCE[x.dtype]
    assert relative_error(found[1][..., -1], expected[1][..., -1]) <= TOLERANCE[x.dtype]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 2), (2, 1, 1, 1, 9), (2, 5, 37, 65), (3, 2, 9, 2, 33), (2, 3, 1025)], ids=str
)
def test_output_and_gradient_equal_the_float64_formula(
    shape: tuple[int, ...], members: bool, dtype: torch.dtype
) -> None:
    hold(draw(*shape).to(dtype), members=members)


def test_one_row_and_columns_of_a_wider_tensor() -> None:
    hold(draw(6), members=False)
    hold(draw(4, 2, 26)[..., 5:], members=False)
    hold(draw(4, 2, 26)[..., 5:], members=True)


def test_rows_of_zeros_stay_zeros() -> None:
    output, gradient = output_and_gradient(
        torch.zeros(3, 5, device=DEVICE), "triton", members=False
    )
    assert not output.any()
    assert gradient.isfinite().all()


def test_the_incoming_gradient_may_be_expanded() -> None:
    x = draw(2, 7, 21).requires_grad_()
    (found,) = torch.autograd.grad(divide_by_last(x, backend="triton").sum(), x)
    (expected,) = torch.autograd.grad(divide_by_last(x.double()).sum(), x)
    assert relative_error(found, expected) <= TOLERANCE[torch.float32]


def test_it_compiles_into_one_graph() -> None:
    x = draw(2, 5, 9).requires_grad_()

    def run(x: Tensor) -> Tensor:
        return divide_by_last(x, backend="triton").sin().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(x), x)
    assert torch.equal(found[0], torch.autograd.grad(run(x), x)[0])


def test_refusals_say_why() -> None:
    with pytest.raises(BackendUnavailableError, match="rows have up to 4096 quotients"):
        divide_by_last(torch.zeros(1, 4098, device=DEVICE), backend="triton")
    with pytest.raises(BackendUnavailableError, match="there are no rows"):
        divide_by_last(torch.zeros(0, 3, device=DEVICE), backend="triton")
