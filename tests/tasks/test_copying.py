"""Copying's layout, its load and density, and what it refuses."""

import re
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.tasks.copying import Copying
from lengthwise.tasks.task import Batch

from tests.tasks.goodness import uniform


def sample(task: Copying, length: int, count: int = 2000) -> Batch:
    return task.sample(seed=0, split="train", start=0, count=count, length=length)


@given(length=st.integers(2, 300))
def test_plain_copying_holds_half_of_the_length_at_one_distance(length: int) -> None:
    batch = sample(Copying(), length, 2)
    assert batch.answers.shape[1] == length // 2
    assert (batch.distances == length // 2).all()
    assert ((batch.tokens == 30).sum(dim=1) == length % 2).all()


@given(length=st.integers(2, 300), tenths=st.integers(1, 10))
def test_the_selective_load_is_the_largest_within_the_density(length: int, tenths: int) -> None:
    task = Copying(selective=True, density=tenths / 10)
    load = task.load(length)
    density = Fraction(tenths, 10)
    assert load == 1 or load <= density * (length - load)
    assert load + 1 > density * (length - load - 1)
    batch = sample(task, length, 2)
    assert batch.answers.shape[1] == load
    assert ((batch.tokens == 30).sum(dim=1) == length - 2 * load).all()


def test_selective_places_are_uniform() -> None:
    batch = sample(Copying(selective=True, density=0.2), 60, 6000)
    zone = batch.tokens[:, :50] != 30
    assert (zone.sum(dim=1) == 10).all()
    assert uniform(zone.sum(dim=0))


@pytest.mark.parametrize("selective", [False, True])
def test_content_is_uniform_at_every_place(selective: bool) -> None:
    answers = sample(Copying(vocab_size=12, selective=selective), 40).answers
    for place in range(answers.shape[1]):
        counts = answers[:, place].bincount(minlength=10)
        assert uniform(counts)


def test_the_shortest_length_asks_for_one_token() -> None:
    batch = sample(Copying(), 2, 3)
    assert torch.equal(batch.tokens[:, 0:1], batch.answers)
    assert (batch.tokens[:, 1] == 31).all()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"vocab_size": 3}, "vocab_size: 3 is below 4 (two content tokens, blank and mark)"),
        ({"density": 0.0}, "density: 0.0 is not within 0 (excluded) … 1"),
        ({"density": 1.5}, "density: 1.5 is not within 0 (excluded) … 1"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Copying(**knobs)


def test_lengths_that_do_not_fit_are_refused() -> None:
    message = "length: 1 is below 2 (one token and the mark); raise length"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Copying().check_length(1)


def test_the_first_token_floor_is_what_a_model_with_one_token_of_memory_scores() -> None:
    task = Copying(vocab_size=6)
    answers = sample(task, 10, 20_000).answers
    guesses = torch.zeros_like(answers)
    guesses[:, 0] = answers[:, 0]
    assert task.chance(10) == 0.25
    assert abs((guesses == answers).double().mean() - task.floors(10)["first token"]) < 0.005
