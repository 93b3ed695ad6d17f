"""What holds for every task."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.tasks.task import Batch, Split

from tests.tasks.cases import CASES, Case, concatenated, same
from tests.tasks.oracles import ORACLES

SPLITS: list[Split] = ["train", "validation", "test"]

every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
@given(
    seed=st.integers(0, 2**31),
    split=st.sampled_from(SPLITS),
    start=st.integers(0, 2**40 - 40),
    sizes=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_any_cut_of_the_examples_gives_the_same_examples(
    case: Case, seed: int, split: Split, start: int, sizes: tuple[int, int]
) -> None:
    def sample(start: int, count: int) -> Batch:
        return case.task.sample(
            seed=seed, split=split, start=start, count=count, length=case.length
        )

    first, second = sizes
    whole = sample(start, first + second)
    assert same(whole, concatenated(sample(start, first), sample(start + first, second)))


@every_case
def test_a_batch_has_the_shapes_and_ids_of_the_contract(case: Case) -> None:
    answers = set()
    for split, start, count in [("train", 0, 1), ("test", 2**40 - 50, 50), ("validation", 3, 0)]:
        batch = case.task.sample(seed=1, split=split, start=start, count=count, length=case.length)
        shape = batch.answers.shape
        answers.add(shape[1])
        assert batch.tokens.shape == (count, case.length)
        assert batch.positions.shape == batch.mask.shape == batch.distances.shape == shape
        assert shape[0] == count
        assert batch.mask.dtype == torch.bool
        assert batch.mask.all()
        for ids in (batch.tokens, batch.answers):
            assert ids.dtype == torch.int64
            assert ((ids >= 0) & (ids < case.task.vocab_size)).all()
        assert batch.positions.dtype == batch.distances.dtype == torch.int64
        assert (batch.positions.diff() > 0).all()
        assert ((batch.distances > 0) & (batch.distances <= batch.positions)).all()
    assert len(answers) == 1


@every_case
@given(seed=st.integers(0, 2**31), split=st.sampled_from(SPLITS), start=st.integers(0, 2**39))
def test_an_oracle_that_reads_the_tokens_alone_gives_every_answer_and_distance(
    case: Case, seed: int, split: Split, start: int
) -> None:
    batch = case.task.sample(seed=seed, split=split, start=start, count=20, length=case.length)
    solve = ORACLES[type(case.task)]
    for tokens, positions, answers, distances in zip(
        batch.tokens.tolist(),
        batch.positions.tolist(),
        batch.answers.tolist(),
        batch.distances.tolist(),
        strict=True,
    ):
        found, facts = solve(case.task.vocab_size, tokens, positions)
        assert found == answers
        assert [at - fact for at, fact in zip(positions, facts, strict=True)] == distances


@every_case
def test_splits_seeds_and_examples_share_no_prompt(case: Case) -> None:
    prompts = [
        case.task.sample(seed=seed, split=split, start=0, count=200, length=case.length).tokens
        for seed in (0, 1)
        for split in SPLITS
    ]
    assert torch.cat(prompts).unique(dim=0).shape[0] == 6 * 200


@every_case
def test_streams_of_splits_and_seeds_agree_no_more_than_chance(case: Case) -> None:
    batches = [
        case.task.sample(seed=seed, split=split, start=0, count=500, length=case.length).answers
        for seed in (0, 1)
        for split in SPLITS
    ]
    expected = case.task.chance(case.length)
    for left, right in combinations(batches, 2):
        agreement = (left == right).double().mean().item()
        assert abs(agreement - expected) < 5 * (expected / left.numel()) ** 0.5 + 1e-3


@every_case
def test_chance_and_floors_are_probabilities_and_no_floor_is_below_chance(case: Case) -> None:
    chance = case.task.chance(case.length)
    assert 0 < chance < 1
    assert all(chance <= floor <= 1 for floor in case.task.floors(case.length).values())


@every_case
def test_sampling_refuses_what_check_length_refuses(case: Case) -> None:
    with pytest.raises(ValueError, match=r"length:? 1 ") as refused:
        case.task.check_length(1)
    with pytest.raises(ValueError, match="length") as sampled:
        case.task.sample(seed=0, split="train", start=0, count=1, length=1)
    assert str(refused.value) == str(sampled.value)


@every_case
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_examples(case: Case) -> None:
    on_cpu, on_gpu = (
        case.task.sample(
            seed=5, split="test", start=9, count=3000, length=case.length, device=device
        )
        for device in ("cpu", "cuda")
    )
    assert same(on_cpu, on_gpu)
