"""The needle's place, its distractors, and what the task refuses."""

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.tasks.needle import Needle
from lengthwise.tasks.task import Batch

from tests.tasks.goodness import uniform


def sample(task: Needle, length: int, count: int = 2000) -> Batch:
    return task.sample(seed=0, split="train", start=0, count=count, length=length)


def places(batch: Batch, task: Needle) -> torch.Tensor:
    """Where the keys stand in the haystack [B, num_needles], ascending."""
    haystack = batch.tokens[:, : int(batch.positions[0, 0]) - 1]
    keys = (haystack >= 1) & (haystack <= (task.vocab_size - 1) // 3)
    assert (keys.sum(dim=1) == task.num_needles).all()
    return keys.nonzero()[:, 1].view(-1, task.num_needles)


@given(
    needles=st.integers(1, 6),
    value_length=st.integers(1, 4),
    spare=st.integers(0, 40),
    depth=st.one_of(st.just("uniform"), st.floats(0, 1)),
)
def test_needles_never_overlap_and_the_one_asked_for_stands_at_its_depth(
    needles: int, value_length: int, spare: int, depth: Any
) -> None:
    task = Needle(num_needles=needles, depth=depth, value_length=value_length)
    width = value_length + 1
    length = width * (needles + 2) + spare
    batch = sample(task, length, 50)
    found = places(batch, task)
    assert (found.diff() >= width).all()
    assert (found[:, -1] + width <= length - width).all()
    asked = batch.positions[:, 0] - batch.distances[:, 0]
    assert (found == asked[:, None]).sum() == 50
    if depth != "uniform":
        assert (asked == round(depth * (length - 2 * width))).all()


@pytest.mark.parametrize("needles", [1, 3])
def test_a_uniform_depth_reaches_every_place_equally(needles: int) -> None:
    task = Needle(num_needles=needles, value_length=2)
    batch = sample(task, 32, 8000)
    asked = batch.positions[:, 0] - batch.distances[:, 0]
    counts = asked.bincount()
    assert counts.numel() == 32 - 2 * 3 + 1
    assert uniform(counts)


def test_distractors_use_every_cell_equally() -> None:
    task = Needle(num_needles=3, depth=0.5)
    found = places(sample(task, 42, 6000), task)
    counts = found[found != 19].bincount(minlength=40)
    used = counts[counts > 0]
    assert used.numel() == 18
    assert uniform(used)


def test_distances_grow_by_one_with_each_token_of_the_value() -> None:
    batch = sample(Needle(depth=0.0, value_length=3), 64, 5)
    assert torch.equal(batch.distances, torch.tensor([[61, 62, 63]]).expand(5, 3))


def test_keys_values_and_filler_are_uniform_in_their_alphabets() -> None:
    task = Needle(vocab_size=24, num_needles=4)
    batch = sample(task, 64)
    found = places(batch, task)
    keys = batch.tokens.gather(1, found).flatten() - 1
    values = batch.tokens.gather(1, found + 1).flatten() - 8
    filler = batch.tokens[batch.tokens > 14] - 15
    for ids, number in ((keys, 7), (values, 7), (filler, 9)):
        counts = ids.bincount(minlength=number)
        assert counts.numel() == number
        assert uniform(counts)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"vocab_size": 6},
            "vocab_size: 6 is below 7 (QUERY, two keys, values and fillers)",
        ),
        ({"num_needles": 0}, "num_needles: 0 is not within 1 … 21, the keys of vocab_size: 64"),
        ({"num_needles": 22}, "num_needles: 22 is not within 1 … 21, the keys of vocab_size: 64"),
        ({"value_length": 0}, "value_length: 0 is below 1"),
        ({"depth": 1.5}, "depth: 1.5 is not within 0 … 1"),
        ({"depth": "middle"}, "depth: 'middle' is not a number within 0 … 1 or uniform"),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Needle(**knobs)


def test_lengths_that_do_not_fit_are_refused() -> None:
    message = (
        "num_needles: 4 does not fit length 17 (needs (1 + 2)·(4 + 2) = 18); "
        "lower num_needles or value_length, or raise length"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Needle(num_needles=4, value_length=2).check_length(17)


def test_the_value_set_floor_is_what_reciting_any_needle_scores() -> None:
    task = Needle(vocab_size=16, num_needles=4)
    batch = sample(task, 64, 20_000)
    first = places(batch, task)[:, :1]
    recited = batch.tokens.gather(1, first + 1)
    score = (recited == batch.answers).double().mean()
    assert abs(score - task.floors(64)["value set"]) < 0.02
    assert Needle().floors(64) == {}
