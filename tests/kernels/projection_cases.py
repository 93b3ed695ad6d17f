"""The tests of the projection in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

import importlib
from functools import partial
from typing import Any

import pytest
import torch
from lengthwise.harness.bench.kernels.cases import relative_error
from lengthwise.harness.bench.kernels.check import TOLERANCE
from lengthwise.harness.precision import float32_products
from lengthwise.harness.settings import Precision
from lengthwise.kernels import gpu, linear, linear_parts, swiglu_linear
from torch import Tensor

GRADIENTS: Any = importlib.import_module("lengthwise.kernels.linear.gradients")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
each_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16], ids=["float32", "float16"]
)


def problem(members: int, rows: int, width: int, outputs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(members, rows, width, generator=generator)
    weight = width**-0.5 * torch.randn(members, outputs, width, generator=generator)
    bias = torch.randn(members, outputs, generator=generator)
    return [each.to(DEVICE) for each in (x, weight, bias)]


def output_and_gradients(
    backend: str, *leaves: Tensor, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Of every member: x [P, N, D], weight [P, O, D], maybe bias [P, O].

    The gradient that comes in is the same for every member, rounded to the dtype.
    """
    leaves = tuple(each.detach().requires_grad_() for each in leaves)
    output = torch.func.vmap(partial(linear, backend=backend))(*leaves)
    line = torch.linspace(0.5, -1, output[0].numel(), dtype=torch.float64, device=output.device)
    incoming = line.to(dtype).to(output.dtype).view_as(output[0]).expand_as(output)
    gradients = torch.autograd.grad(output, leaves, incoming)
    return [output.detach(), *gradients]


@each_dtype
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (3, 37, 20, 36), (2, 300, 64, 260), (1, 65, 200, 130), (2, 64, 4, 16)],
    ids=str,
)
def test_output_and_gradients_equal_float64(
    shape: tuple[int, int, int, int], with_bias: bool, dtype: torch.dtype
) -> None:
    inputs = [each.to(dtype) for each in problem(*shape)][: 3 if with_bias else 2]
    found = output_and_gradients("triton", *inputs, dtype=dtype)
    exact_inputs = (each.double() for each in inputs)
    expected = output_and_gradients("reference", *exact_inputs, dtype=dtype)
    assert {each.dtype for each in found} == {dtype}
    for one, exact in zip(found, expected, strict=True):
        assert relative_error(one, exact, dtype) <= TOLERANCE[dtype]


def test_columns_of_a_wider_tensor_are_read_where_they_are() -> None:
    x, weight, bias = problem(2, 50, 24, 12)
    wide = torch.zeros(2, 50, 40, device=x.device)
    wide[..., 10:34] = x
    found = output_and_gradients("triton", wide[..., 10:34], weight, bias)
    for one, other in zip(found, output_and_gradients("triton", x, weight, bias), strict=True):
        assert torch.equal(one, other)


def test_many_splits_of_the_rows_give_one_sum() -> None:
    x, weight, bias = problem(1, 3000, 16, 16)
    found = output_and_gradients("triton", x, weight, bias)
    expected = output_and_gradients("reference", *(each.double() for each in (x, weight, bias)))
    for one, exact in zip(found, expected, strict=True):
        assert relative_error(one, exact) <= TOLERANCE[torch.float32]


def test_a_member_is_what_it_is_alone() -> None:
    x, weight, bias = problem(3, 100, 32, 40)
    together = output_and_gradients("triton", x, weight, bias)
    for member in range(3):
        alone = output_and_gradients(
            "triton", *(each[member : member + 1] for each in (x, weight, bias))
        )
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[member], other[0], rtol=1e-5, atol=1e-5)


def test_leading_dimensions_are_joined() -> None:
    x, weight, _ = problem(1, 60, 8, 5)
    apart = linear(x.view(3, 4, 5, 8), weight[0], backend="triton")
    assert torch.equal(apart, linear(x[0], weight[0], backend="triton").view(3, 4, 5, 5))


def parts_and_gradients(
    backend: str,
    sizes: list[int],
    x: Tensor,
    weight: Tensor,
    used: int | None = None,
    *,
    onward: bool = False,
) -> list[Tensor]:
    """Of every member; the loss reads the first `used` parts."""
    leaves = [each.detach().requires_grad_() for each in (x, weight)]
    call = partial(linear_parts, sizes=sizes, onward=onward, backend=backend)
    parts = torch.func.vmap(call)(*leaves)
    losses = [
        (each.double() * torch.linspace(1, -2, each[0].numel()).to(x.device).view_as(each[0])).sum()
        for each in parts[:used]
    ]
    gradients = torch.autograd.grad(torch.stack(losses).sum(), leaves)
    return [*(each.detach() for each in parts), *gradients]


@each_dtype
@pytest.mark.parametrize(
    "sizes",
    [[64, 24, 1, 1], [4, 16, 16], [160, 40], [1, 40, 2, 3, 30], [5, 3, 24], [3, 45], [23]],
    ids=str,
)
@pytest.mark.parametrize("onward", [False, True], ids=["", "onward"])
def test_parts_and_gradients_equal_float64(
    sizes: list[int], dtype: torch.dtype, onward: bool
) -> None:
    x, weight = (each.to(dtype) for each in problem(2, 150, 24, sum(sizes))[:2])
    found = parts_and_gradients("triton", sizes, x, weight, onward=onward)
    exact = (x.double(), weight.double())
    expected = parts_and_gradients("reference", sizes, *exact, onward=onward)
    assert len(found) == len(sizes) + onward + 2
    for one, exact in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert relative_error(one, exact, dtype) <= TOLERANCE[dtype]


def test_a_part_that_no_loss_reads_has_a_gradient_of_zeros() -> None:
    x, weight, _ = problem(2, 50, 24, 30)
    found = parts_and_gradients("triton", [24, 6], x, weight, used=1)
    expected = parts_and_gradients("reference", [24, 6], x, weight, used=1)
    torch.testing.assert_close(found, expected)
    assert not found[-1][:, 24:].any()


def test_parts_are_read_where_they_lie_as_far_as_that_pays() -> None:
    gradients = [torch.randn(2, 9, size) for size in (24, 160, 6, 1, 1)]
    x = torch.randn(2, 9, 24)
    *wide, last = GRADIENTS.in_passes(x, gradients)
    assert [each.gradient.data_ptr() for each in wide] == [
        each.data_ptr() for each in gradients[:2]
    ]
    assert torch.equal(last.gradient, torch.cat(gradients[2:], -1))
    assert [(each.start, each.size) for each in (*wide, last)] == [(0, 24), (24, 160), (184, 8)]
    assert GRADIENTS.in_one_pass(x, gradients) is None
    half = [each.half() for each in gradients[1:]]
    *even, last = GRADIENTS.in_one_pass(x.half(), half)
    assert [each.gradient.data_ptr() for each in even] == [
        each.data_ptr() for each in (half[0], half[0][..., 128:], half[1])
    ]
    assert torch.equal(last.gradient, torch.cat(half[2:], -1))
    assert [(each.start, each.size) for each in (*even, last)] == [
        (0, 128),
        (128, 32),
        (160, 6),
        (166, 2),
    ]
    assert GRADIENTS.in_one_pass(x.half(), [each.half() for each in gradients]) is None


# torch's own tracing of an autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_parts_compile_into_one_graph() -> None:
    x, weight, _ = problem(1, 50, 24, 30)
    leaves = [each[0].requires_grad_() for each in (x, weight)]

    def run(x: Tensor, weight: Tensor) -> Tensor:
        first, second, x = linear_parts(x, weight, [24, 6], onward=True, backend="triton")
        return first.sin().sum() + second.cos().sum() + x.tan().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves)
    expected = torch.autograd.grad(run(*leaves), leaves)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize(("precision", "expected"), [("float32", "ieee"), ("tf32", "tf32")])
def test_the_gradient_of_weight_is_multiplied_as_torch_multiplies(
    precision: Precision, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr(gpu.Planned, "start", lambda each: found.append(each.options["DOT"]))
    with float32_products(precision):
        output_and_gradients("triton", *problem(1, 3, 4, 5))
    assert found == [expected]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 150, 24, 40), (1, 70, 128, 64), (3, 64, 16, 128)], ids=str
)
def test_a_gated_projection_and_its_gradients_equal_float64(
    shape: tuple[int, int, int, int],
) -> None:
    members, rows, width, outputs = shape
    generator = torch.Generator().manual_seed(rows)
    packed = torch.randn(members, rows, 2 * width, generator=generator).to(DEVICE).half()
    _, weight, _ = problem(members, rows, width, outputs)
    incoming = torch.randn(members, rows, outputs, generator=generator).to(DEVICE).half()
    found: dict[str, list[Tensor]] = {}
    for backend, dtype in (("triton", torch.float16), ("reference", torch.float64)):
        leaves = [each.detach().to(dtype) for each in (*packed.chunk(2, -1), weight.half())]
        if backend == "triton":  # the gate where it lies
            leaves[0] = packed[..., :width].detach()
        leaves = [each.requires_grad_() for each in leaves]
        output = torch.func.vmap(partial(swiglu_linear, backend=backend))(*leaves)
        gradients = torch.autograd.grad(output, leaves, incoming.to(dtype))
        found[backend] = [output.detach(), *gradients]
    for one, exact in zip(found["triton"], found["reference"], strict=True):
        assert one.dtype == torch.float16
        assert relative_error(one, exact, torch.float16) <= TOLERANCE[torch.float16]
