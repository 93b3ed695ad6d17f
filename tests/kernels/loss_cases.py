"""The tests of the loss and the embedding in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

import importlib
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lengthwise.harness.bench.kernels.cases import relative_error
from lengthwise.harness.bench.kernels.check import TOLERANCE
from lengthwise.kernels import BackendUnavailableError, embedding, linear_cross_entropy
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EMBEDDING: Any = importlib.import_module("lengthwise.kernels.embedding.triton")

numpy_warns = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
"""Of what is not a number, inside Triton's interpreter."""
each_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16], ids=["float32", "float16"]
)


def losses_and_gradients(x: Tensor, weight: Tensor, answers: Tensor, backend: str) -> list[Tensor]:
    """Of every member: x [P, N, D], weight [P, V, D], answers [P, N]."""
    leaves = [each.detach().requires_grad_() for each in (x, weight)]

    call = partial(linear_cross_entropy, backend=backend)
    losses = torch.func.vmap(call)(leaves[0], leaves[1], answers)
    incoming = torch.linspace(0.5, -1, losses.numel(), dtype=losses.dtype, device=losses.device)
    gradients = torch.autograd.grad(losses, leaves, incoming.view_as(losses))
    return [losses.detach(), *gradients]


def problem(members: int, rows: int, vocabulary: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(members, rows, width, generator=generator)
    weight = 2 * width**-0.5 * torch.randn(members, vocabulary, width, generator=generator)
    answers = torch.randint(vocabulary, (members, rows), generator=generator)
    return [each.to(DEVICE) for each in (x, weight, answers)]


@each_dtype
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 2, 16),
        (1, 1, 300, 3),
        (3, 37, 301, 20),
        (2, 300, 128, 64),
        (1, 5, 77, 100),
        (1, 33, 40, 250),
        (2, 3, 20, 512),
    ],
    ids=str,
)
def test_losses_and_gradients_equal_float64(
    shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    x, weight, answers = problem(*shape)
    x, weight = x.to(dtype), weight.to(dtype)
    found = losses_and_gradients(x, weight, answers, "triton")
    expected = losses_and_gradients(x.double(), weight.double(), answers, "reference")
    assert [each.dtype for each in found] == [torch.float32, dtype, dtype]
    for one, exact in zip(found, expected, strict=True):
        assert relative_error(one, exact, dtype) <= TOLERANCE[dtype]


def test_a_master_weight_is_rounded_and_its_gradient_is_not() -> None:
    x, weight, answers = problem(2, 200, 70, 32)
    x = x.half()
    found = losses_and_gradients(x, weight, answers, "triton")
    expected = losses_and_gradients(x.double(), weight.half().double(), answers, "reference")
    assert [each.dtype for each in found] == [torch.float32, torch.float16, torch.float32]
    for one, exact in zip(found, expected, strict=True):
        assert relative_error(one, exact, torch.float16) <= TOLERANCE[torch.float16]
    assert not torch.equal(found[2], found[2].half().float())


def test_under_autocast_the_products_are_in_its_dtype() -> None:
    x, weight, answers = (each[0] for each in problem(1, 9, 40, 16))
    rounded = linear_cross_entropy(x.half(), weight.half(), answers, backend="triton")
    with torch.autocast(DEVICE, torch.float16):
        found = linear_cross_entropy(x, weight, answers, backend="triton")
    assert torch.equal(found, rounded)


def test_a_confident_row_keeps_the_digits_of_its_gradient() -> None:
    x, weight, _ = problem(1, 20, 50, 16)
    answers = (x @ weight.mT).argmax(-1)
    x, weight = (6 * x).half(), weight.half()
    found = losses_and_gradients(x, weight, answers, "triton")
    expected = losses_and_gradients(x.double(), weight.double(), answers, "reference")
    for one, exact in zip(found[1:], expected[1:], strict=True):
        rows = [relative_error(*pair, torch.float16) for pair in zip(one[0], exact[0], strict=True)]
        assert max(rows) <= 2e-2
    assert (found[0] >= 0).all()


@numpy_warns
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_member_that_diverges_is_seen_and_spoils_no_other(value: float) -> None:
    x, weight, answers = problem(3, 20, 50, 16)
    healthy = losses_and_gradients(x, weight, answers, "triton")
    weight[1] = value
    spoiled = losses_and_gradients(x, weight, answers, "triton")
    assert not spoiled[0][1].isfinite().any()
    for before, after in zip(healthy, spoiled, strict=True):
        assert torch.equal(before[[0, 2]], after[[0, 2]])


@numpy_warns
def test_one_broken_row_is_seen() -> None:
    x, weight, answers = problem(1, 20, 50, 16)
    x[0, 3, 2] = torch.inf
    answers[0, 5] = 50
    losses, *_ = losses_and_gradients(x, weight, answers, "triton")
    assert (~losses[0].isfinite()).nonzero().flatten().tolist() == [3, 5]


def embedded(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Output and gradient of every member, and what came in: weight [P, V, D], tokens [P, N]."""
    leaf = weight.detach().requires_grad_()

    call = partial(embedding, dtype=dtype, backend="triton")
    output = torch.func.vmap(call)(leaf, tokens)
    generator = torch.Generator().manual_seed(1)
    incoming = torch.randn(output.shape, generator=generator).to(DEVICE, dtype)
    return [output.detach(), *torch.autograd.grad(output, leaf, incoming), incoming]


def assert_embeds(weight: Tensor, tokens: Tensor, dtype: torch.dtype) -> None:
    output, gradient, incoming = embedded(weight, tokens, dtype)
    leaf = weight.double().requires_grad_()
    expected = torch.stack([each[rows] for each, rows in zip(leaf, tokens, strict=True)])
    assert torch.equal(output, expected.to(dtype))
    (exact,) = torch.autograd.grad(expected, leaf, incoming.double())
    assert gradient.dtype == weight.dtype
    assert relative_error(gradient, exact) <= 1e-6
    assert torch.equal(gradient == 0, exact == 0)


def drawn_tokens(kind: str, members: int, rows: int, vocabulary: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    if kind == "one key":
        return torch.full((members, rows), vocabulary - 1, device=DEVICE)
    if kind == "all different":
        order = [torch.randperm(vocabulary, generator=generator)[:rows] for _ in range(members)]
        return torch.stack(order).to(DEVICE)
    tokens = torch.randint(vocabulary, (members, rows), generator=generator)
    if kind == "filler":
        tokens[torch.rand(members, rows, generator=generator) < 0.8] = 0
    return tokens.to(DEVICE)


@each_dtype
@pytest.mark.parametrize("kind", ["one key", "all different", "unsorted", "filler"])
@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (3, 300, 301, 20), (2, 64, 70, 70)], ids=str)
def test_rows_and_their_gradient_equal_float64(
    shape: tuple[int, int, int, int], kind: str, dtype: torch.dtype
) -> None:
    members, rows, vocabulary, width = shape
    weight = torch.randn(members, vocabulary, width, device=DEVICE)
    assert_embeds(weight, drawn_tokens(kind, members, rows, vocabulary), dtype)


@settings(max_examples=30)
@given(
    members=st.integers(1, 2),
    rows=st.integers(1, 300),
    vocabulary=st.integers(2, 40),
    filler=st.booleans(),
)
def test_tokens_that_cross_many_blocks_equal_float64(
    members: int, rows: int, vocabulary: int, filler: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EMBEDDING, "ROWS", 16)
        weight = torch.randn(members, vocabulary, 4, device=DEVICE)
        kind = "filler" if filler else "unsorted"
        assert_embeds(weight, drawn_tokens(kind, members, rows, vocabulary), torch.float32)


def test_a_gradient_that_is_not_finite_stays_in_its_member() -> None:
    weight = torch.randn(3, 20, 4, device=DEVICE, requires_grad=True)
    tokens = drawn_tokens("filler", 3, 100, 20)
    output = torch.func.vmap(partial(embedding, backend="triton"))(weight, tokens)
    incoming = torch.ones_like(output)
    incoming[1] = torch.nan
    (gradient,) = torch.autograd.grad(output, weight, incoming)
    assert gradient[[0, 2]].isfinite().all()
    assert gradient[1].isnan().any()


def test_a_token_outside_of_the_vocabulary_is_seen() -> None:
    weight = torch.randn(5, 4, device=DEVICE, requires_grad=True)
    tokens = torch.tensor([0, 5, -1, 4], device=DEVICE)
    output = embedding(weight, tokens, backend="triton")
    assert output.isnan().all(1).tolist() == [False, True, True, False]


def test_the_same_call_gives_the_same_bits() -> None:
    weight, tokens = torch.ones(2, 30, 4, device=DEVICE), drawn_tokens("filler", 2, 500, 30)
    first, second = (
        losses_and_gradients(*problem(2, 70, 50, 16), backend="triton")
        + embedded(weight, tokens, torch.float32)
        for _ in range(2)
    )
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_both_operators_compile_into_one_graph() -> None:
    x, weight, answers = (each[0] for each in problem(1, 9, 20, 16))
    table = torch.randn(20, 16, device=DEVICE)
    leaves = [x.requires_grad_(), weight.requires_grad_(), table.requires_grad_()]

    def run(x: Tensor, weight: Tensor, table: Tensor) -> Tensor:
        x = x + embedding(table, answers, backend="triton")
        return linear_cross_entropy(x, weight, answers, backend="triton").sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves)
    expected = torch.autograd.grad(run(*leaves), leaves)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_refusals_say_why() -> None:
    wide = torch.zeros(1, 513, device=DEVICE)
    with pytest.raises(BackendUnavailableError, match="up to 512 channels"):
        linear_cross_entropy(wide, wide, torch.zeros(1, dtype=torch.long), backend="triton")
    none = torch.zeros(0, dtype=torch.long, device=DEVICE)
    with pytest.raises(BackendUnavailableError, match="there are no tokens"):
        embedding(wide, none, backend="triton")
    assert embedding(wide, none).shape == (0, 513)
    with pytest.raises(BackendUnavailableError, match="not in float64"):
        embedding(wide, none.new_zeros(1), dtype=torch.float64, backend="triton")
