"""What holds for every mixer and every whole model."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.architectures.model import Model, ModelConfig, build_model
from lengthwise.architectures.swiglu import SwiGLU
from lengthwise.harness import laws, plugins
from torch import Tensor

from tests.architectures.cases import MIXERS, WIDTH

TOLERANCE = 1e-10
VOCABULARY = 11

each_mixer = pytest.mark.parametrize("make", MIXERS.values(), ids=MIXERS)
cuts = st.lists(st.integers(1, 149), max_size=4)


def pieces(length: int, cuts: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise([0, *sorted({cut for cut in cuts if cut < length}), length]))


def double(make: Callable[[int], Mixer]) -> Mixer:
    torch.manual_seed(0)
    return make(WIDTH).double()


def model(*makers: Callable[[int], Mixer], layers: int = 2) -> Model:
    torch.manual_seed(0)
    return build_model(ModelConfig(VOCABULARY, WIDTH, layers, makers, SwiGLU)).double()


def test_every_built_in_mixer_is_among_the_cases() -> None:
    tested = {type(double(make)) for make in MIXERS.values()}
    assert tested == set(plugins.built_in(plugins.MIXER).values())


@each_mixer
@given(length=st.integers(1, 150), cuts=cuts, seed=st.integers(0, 2**32))
def test_any_cut_of_the_sequence_gives_the_same_output(
    make: Callable[[int], Mixer], length: int, cuts: list[int], seed: int
) -> None:
    mixer = double(make)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, length, WIDTH, dtype=torch.float64, generator=generator)
    whole, final = mixer(x)
    state: State | None = None
    parts: list[Tensor] = []
    for begin, end in pieces(length, cuts):
        part, state = mixer(x[:, begin:end], state)
        parts.append(part)
    assert state is not None
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=TOLERANCE, atol=TOLERANCE)
    for found, expected in zip(state, final, strict=True):
        torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@each_mixer
@given(length=st.integers(1, 150), cuts=cuts, seed=st.integers(0, 2**32))
def test_any_cut_of_the_sequence_gives_the_same_logits_of_the_whole_model(
    make: Callable[[int], Mixer], length: int, cuts: list[int], seed: int
) -> None:
    whole_model = model(make)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(VOCABULARY, (2, length), generator=generator)
    whole, _ = whole_model(tokens)
    state: tuple[State, ...] | None = None
    parts: list[Tensor] = []
    for begin, end in pieces(length, cuts):
        part, state = whole_model(tokens[:, begin:end], state=state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_hybrid_takes_its_mixers_in_turn_and_obeys_the_law() -> None:
    hybrid = model(*MIXERS.values(), layers=len(MIXERS) + 1)
    kinds = [type(each) for each in hybrid.modules() if isinstance(each, Mixer)]
    assert kinds == [type(double(make)) for make in (*MIXERS.values(), MIXERS["attention-rope"])]
    tokens = torch.randint(VOCABULARY, (1, 20), generator=torch.Generator().manual_seed(1))
    whole, _ = hybrid(tokens)
    first, state = hybrid(tokens[:, :7])
    second, _ = hybrid(tokens[:, 7:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-9, atol=1e-9)


@each_mixer
@pytest.mark.parametrize("law", laws.MIXER_LAWS, ids=lambda law: law.__name__)
def test_every_mixer_obeys_the_laws_that_plug_ins_are_held_to(
    make: Callable[[int], Mixer], law: Callable[[Callable[[], Mixer], int], None]
) -> None:
    torch.manual_seed(0)
    law(lambda: make(WIDTH), WIDTH)


@each_mixer
def test_every_parameter_of_the_whole_model_gets_a_finite_gradient(
    make: Callable[[int], Mixer],
) -> None:
    whole_model = model(make)
    tokens = torch.randint(VOCABULARY, (4, 30), generator=torch.Generator().manual_seed(2))
    whole_model(tokens)[0].logsumexp(-1).sum().backward()
    for name, parameter in whole_model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.ne(0).any(), name


def test_logits_are_those_of_the_positions_asked_for() -> None:
    whole_model = model(MIXERS["gated-delta-net"])
    tokens = torch.randint(VOCABULARY, (2, 10), generator=torch.Generator().manual_seed(3))
    everywhere, _ = whole_model(tokens)
    positions = torch.tensor([[0, 9, 4], [3, 3, 8]])
    asked, _ = whole_model(tokens, positions)
    expected = torch.stack([everywhere[row, places] for row, places in enumerate(positions)])
    torch.testing.assert_close(asked, expected)


def test_vectors_and_exempted_parameters_are_not_decayed() -> None:
    names = model(MIXERS["mamba"], layers=1).undecayed_parameters()
    assert "blocks.0.mixer.A_log" in names
    assert "blocks.0.mixer.convolution.weight" in names
    assert "norm.weight" in names
    assert "head.weight" not in names
    assert "blocks.0.mixer.project.weight" not in names


def test_a_tied_head_reads_with_the_embedding_and_is_one_parameter() -> None:
    tied = build_model(
        ModelConfig(VOCABULARY, WIDTH, 2, [MIXERS["mamba"]], SwiGLU, tie_embeddings=True)
    )
    assert tied.head.weight is tied.embedding.weight
    names = dict(tied.named_parameters())
    assert "embedding.weight" in names
    assert "head.weight" not in names
    assert "embedding.weight" not in tied.undecayed_parameters()
    big = build_model(ModelConfig(4096, 64, 1, [MIXERS["mamba"]], tie_embeddings=True))
    assert abs(float(big.embedding.weight.detach().std()) - 0.02) < 0.001
    tokens = torch.randint(VOCABULARY, (2, 10), generator=torch.Generator().manual_seed(3))
    logits, _ = tied(tokens)
    logits.logsumexp(-1).sum().backward()
    assert tied.embedding.weight.grad is not None
    assert tied.embedding.weight.grad.ne(0).all(), "tokens that were never read are answers too"
