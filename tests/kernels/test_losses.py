"""The loss and the embedding against float64, and the model that is made of them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.architectures.gated_delta_net import GatedDeltaNet
from lengthwise.architectures.model import Model, ModelConfig, build_model
from lengthwise.architectures.swiglu import SwiGLU
from lengthwise.kernels import embedding, linear_cross_entropy, session
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tests.kernels.cases import relative_error

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda each: str(each)[6:])


@each_dtype
@given(
    rows=st.integers(1, 40),
    vocabulary=st.integers(2, 50),
    width=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_losses_and_gradients_equal_their_formulas_in_float64(
    dtype: torch.dtype, rows: int, vocabulary: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).to(dtype).requires_grad_()
    answers = torch.randint(vocabulary, (rows,), generator=generator)
    incoming = torch.randn(rows, generator=generator)
    losses = linear_cross_entropy(x, weight, answers)
    found = torch.autograd.grad(losses, [x, weight], incoming.to(losses.dtype))
    assert losses.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)

    exact_x, exact_weight = x.detach().double(), weight.detach().double()
    logits = exact_x @ exact_weight.T
    one_hot = F.one_hot(answers, vocabulary)
    expected = logits.logsumexp(1) - (logits * one_hot).sum(1)
    of_logits = (logits.softmax(1) - one_hot) * incoming[:, None].double()
    size = expected.norm() + rows**0.5
    assert (losses.double() - expected).norm() <= TOLERANCE[dtype] * size
    exact_gradients = (of_logits @ exact_weight, of_logits.T @ exact_x)
    # p − 1 cancels: what is lost is relative to p's digits, not to those of the difference.
    scale = incoming.norm().double()
    for one, exact, factor in zip(found, exact_gradients, (exact_weight, exact_x), strict=True):
        assert one.dtype == dtype
        assert (one.double() - exact).norm() <= TOLERANCE[dtype] * scale * factor.norm()


@each_dtype
@given(
    rows=st.integers(1, 60),
    vocabulary=st.integers(1, 20),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_rows_and_their_gradient_equal_a_product_with_one_hot_vectors(
    dtype: torch.dtype, rows: int, vocabulary: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocabulary, width, generator=generator).requires_grad_()
    tokens = torch.randint(vocabulary, (rows,), generator=generator)
    output = embedding(weight, tokens, dtype=dtype)
    one_hot = F.one_hot(tokens, vocabulary).double()
    assert torch.equal(output, (one_hot @ weight.double()).to(dtype))
    incoming = torch.randn(rows, width, generator=generator).to(dtype)
    (found,) = torch.autograd.grad(output, weight, incoming)
    assert found.dtype == torch.float32
    assert relative_error(found, one_hot.T @ incoming.double()) <= TOLERANCE[torch.float32]


def test_stacking_by_vmap_equals_one_call_a_member() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 5, 8, generator=generator)
    weight = torch.randn(3, 11, 8, generator=generator)
    tokens = torch.randint(11, (3, 2, 5), generator=generator)
    losses = vmap(linear_cross_entropy)(x, weight, tokens)
    rows = vmap(embedding)(weight, tokens)
    assert losses.shape == (3, 2, 5)
    for index in range(3):
        alone = linear_cross_entropy(x[index], weight[index], tokens[index])
        torch.testing.assert_close(losses[index], alone)
        assert torch.equal(rows[index], F.embedding(tokens[index], weight[index]))


def test_a_default_that_an_operator_does_not_have_leaves_it_its_best() -> None:
    weight, tokens = torch.ones(4, 2), torch.tensor([1])
    with session("chunked") as entered:
        embedding(weight, tokens)
    assert entered.chosen == {"embedding": {"reference"}}
    with session("chunky"), pytest.raises(ValueError, match="embedding has no backend 'chunky'"):
        embedding(weight, tokens)


def test_contradicting_shapes_are_named() -> None:
    x, weight, answers = torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"weight must be \[V, D\] with D = 3 as in x"):
        linear_cross_entropy(x, weight[:, :2], answers)
    with pytest.raises(ValueError, match=r"answers must be \[N\] with N = 2 as in x"):
        linear_cross_entropy(x, weight, answers[:1])
    with pytest.raises(ValueError, match=r"weight must be \[V, D\]"):
        embedding(weight[0], answers)


VOCABULARY = 13


def model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return build_model(ModelConfig(VOCABULARY, 16, 2, [lambda width: GatedDeltaNet(width)], SwiGLU))


def batch(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens, answers = (
        torch.randint(VOCABULARY, (*shape, size), generator=generator) for size in (9, 4)
    )
    return tokens, torch.randint(9, (*shape, 4), generator=generator), answers


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, None], ids=str)
def test_the_models_losses_are_the_cross_entropy_of_its_logits(dtype: torch.dtype | None) -> None:
    whole = model().to(dtype or torch.float32)
    tokens, positions, answers = batch(3)
    parameters = list(whole.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is None):
        logits, _ = whole(tokens, positions)
        losses = whole.losses(tokens, positions, answers)
    logits = logits if dtype else logits.float()
    expected = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none")
    assert losses.shape == answers.shape
    torch.testing.assert_close(losses.flatten(), expected)
    pairs = zip(
        torch.autograd.grad(losses.sum(), parameters),
        torch.autograd.grad(expected.sum(), parameters),
        strict=True,
    )
    for found, one in pairs:
        torch.testing.assert_close(found, one)


class Losses(nn.Module):
    """`losses` where functional_call looks for it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *batch: Tensor) -> Tensor:
        return self.model.losses(*batch)


def test_a_stack_of_models_has_the_losses_of_each() -> None:
    models = [Losses(model(seed)) for seed in range(2)]
    stacked = {
        name: torch.stack([dict(each.named_parameters())[name].detach() for each in models])
        for name, _ in models[0].named_parameters()
    }
    examples = batch(2, 3)

    def call(state: dict[str, Tensor], *example: Tensor) -> Tensor:
        return functional_call(models[0], state, example)

    losses = vmap(call)(stacked, *examples)
    for index, alone in enumerate(models):
        expected = alone(*(each[index] for each in examples))
        torch.testing.assert_close(losses[index], expected)


def test_under_autocast_the_residual_stream_begins_in_its_dtype() -> None:
    whole = model()
    seen: list[torch.dtype] = []
    norm = whole.blocks[0].get_submodule("mixer_norm")
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        whole(batch(2)[0])
    whole(batch(2)[0])
    assert seen == [torch.bfloat16, torch.float32]
