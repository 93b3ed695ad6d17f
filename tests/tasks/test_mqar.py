"""MQAR's layout, the laws of its gaps, and what it refuses."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from lengthwise.tasks.mqar import MQAR, Gap
from lengthwise.tasks.task import Batch
from pydantic import TypeAdapter, ValidationError

from tests.tasks.goodness import independent, uniform


def sample(task: MQAR, length: int, count: int = 2000) -> Batch:
    return task.sample(seed=0, split="train", start=0, count=count, length=length)


def by_key(batch: Batch) -> np.ndarray:
    """Distances [B, D] in the order of the keys in the context."""
    order = (batch.positions - batch.distances).argsort(dim=1)
    return batch.distances.gather(1, order).numpy()


def zoology_distances(length: int, pairs: int, examples: int) -> np.ndarray:
    """The same by Zoology's law: slots weighted (i + 1)^(a − 1), given to the keys as drawn."""
    slots = (length - 2 * pairs) // 2
    weights = np.arange(1, slots + 1) ** (0.01 - 1)
    generator = np.random.default_rng(1)
    drawn = np.stack(
        [
            generator.choice(slots, pairs, replace=False, p=weights / weights.sum())
            for _ in range(examples)
        ]
    )
    return 2 * pairs + 2 * drawn - 2 * np.arange(pairs)


@pytest.mark.parametrize(
    ("length", "pairs", "median", "mean", "ninetieth"),
    [(64, 4, 14, 20, 44), (128, 8, 24, 37, 84), (256, 16, 50, 73, 172), (512, 64, 156, 187, 348)],
)
def test_power_law_distances_are_those_measured_on_zoologys_generator(
    length: int, pairs: int, median: int, mean: int, ninetieth: int
) -> None:
    distances = sample(MQAR(num_pairs=pairs), length).distances.numpy()
    assert abs(np.median(distances) - median) <= 2
    assert math.isclose(distances.mean(), mean, rel_tol=0.05)
    assert math.isclose(np.quantile(distances, 0.9), ninetieth, rel_tol=0.05)


@pytest.mark.parametrize(("length", "pairs"), [(64, 4), (128, 8), (64, 16)])
def test_each_keys_distance_follows_zoologys_law(length: int, pairs: int) -> None:
    ours = by_key(sample(MQAR(num_pairs=pairs), length, 8000))
    theirs = zoology_distances(length, pairs, 4000)
    for key in (0, 1, pairs - 1):
        slots = [(each[:, key] + 2 * key - 2 * pairs) // 2 for each in (ours, theirs)]
        assert independent(np.stack([np.bincount(each, minlength=length) for each in slots]))


@pytest.mark.parametrize(("length", "pairs"), [(64, 4), (256, 8)])
def test_uniform_gaps_use_every_slot_equally(length: int, pairs: int) -> None:
    positions = sample(MQAR(num_pairs=pairs, gap="uniform"), length, 8000).positions
    counts = ((positions - 2 * pairs) // 2).flatten().bincount(minlength=length // 2 - pairs)
    assert uniform(counts)


def test_far_queries_fill_the_last_slots_in_every_order() -> None:
    batch = sample(MQAR(num_pairs=3, gap="far"), 40, 6000)
    assert torch.equal(batch.positions, torch.tensor([[34, 36, 38]]).expand(6000, 3))
    orders = (batch.positions - batch.distances).tolist()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert uniform(counts)


@pytest.mark.parametrize(("fixed", "length"), [(8, 64), (30, 64), (56, 64), (8, 16)])
def test_a_fixed_gap_is_every_distance(fixed: int, length: int) -> None:
    batch = sample(MQAR(num_pairs=4, gap={"fixed": fixed}), length, 50)
    assert (batch.distances == fixed).all()


@pytest.mark.parametrize("gap", ["power_law", "uniform", "far"])
def test_without_filler_the_query_zone_holds_the_keys_and_zeros_alone(gap: Gap) -> None:
    batch = sample(MQAR(num_pairs=4, gap=gap, random_filler=False), 64)
    zone = batch.tokens[:, 8:]
    assert ((zone != 0).sum(dim=1) == 4).all()
    assert (zone.sort(dim=1).values[:, -4:] == batch.tokens[:, 0:8:2].sort(dim=1).values).all()


def test_random_filler_is_uniform_over_the_whole_vocabulary() -> None:
    batch = sample(MQAR(vocab_size=32, num_pairs=2), 64)
    filler = torch.ones_like(batch.tokens, dtype=torch.bool)
    filler[:, :4] = False
    filler.scatter_(1, batch.positions, False)
    counts = batch.tokens[filler].bincount(minlength=32)
    assert uniform(counts)
    assert filler.gather(1, batch.positions + 1).all()  # behind each query too


def test_keys_and_values_are_uniform_and_differ_within_an_example() -> None:
    task = MQAR(vocab_size=32, num_pairs=8)
    context = sample(task, 64).tokens[:, :16]
    for drawn, first, number in ((context[:, ::2], 1, 15), (context[:, 1::2], 16, 16)):
        assert (drawn.sort(dim=1).values.diff() > 0).all()
        for place in (0, 7):
            counts = (drawn[:, place] - first).bincount(minlength=number)
            assert counts.numel() == number
            assert uniform(counts)


def test_a_million_tokens_can_be_filled() -> None:
    batch = sample(MQAR(num_pairs=16), 2**20, 1)
    assert batch.tokens.shape == (1, 2**20)
    assert batch.positions.max() < 2**20


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"vocab_size": 7}, "vocab_size: 7 is not an even number ≥ 4"),
        ({"vocab_size": 2}, "vocab_size: 2 is not an even number ≥ 4"),
        ({"num_pairs": 0}, "num_pairs: 0 is not within 1 … 4095, the keys of vocab_size: 8192"),
        (
            {"vocab_size": 16, "num_pairs": 8},
            "num_pairs: 8 is not within 1 … 7, the keys of vocab_size: 16",
        ),
        ({"power_a": -0.5}, "power_a: -0.5 is not within 0 … 2"),
        ({"gap": "near"}, "gap: 'near' is not power_law, uniform, far or {fixed: n}"),
        ({"gap": {"mixed": 8}}, "gap: {'mixed': 8} is not power_law, uniform, far or {fixed: n}"),
        (
            {"gap": {"fixed": 17}},
            "gap: {fixed: 17} is not an even number ≥ 16, the tokens of num_pairs: 8",
        ),
        (
            {"gap": {"fixed": 14}},
            "gap: {fixed: 14} is not an even number ≥ 16, the tokens of num_pairs: 8",
        ),
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MQAR(**knobs)


@pytest.mark.parametrize(
    ("task", "length", "message"),
    [
        (
            MQAR(num_pairs=40),
            64,
            "num_pairs: 40 does not fit length 64 (needs 4·40 = 160); "
            "lower num_pairs or raise length",
        ),
        (MQAR(), 65, "length: 65 is odd; slots of two tokens fill an even length"),
        (
            MQAR(num_pairs=4, gap={"fixed": 58}),
            64,
            "gap: {fixed: 58} does not fit length 64 (needs 2·4 + 58 = 66); "
            "lower the gap or raise length",
        ),
    ],
)
def test_lengths_that_do_not_fit_are_refused(task: MQAR, length: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        task.check_length(length)


def test_pydantic_reads_every_gap_and_refuses_others() -> None:
    adapter = TypeAdapter(MQAR)
    for gap in ("power_law", "uniform", "far", {"fixed": 128}):
        assert adapter.validate_python({"gap": gap}) == MQAR(gap=gap)  # pyright: ignore[reportArgumentType]
    for gap in ("near", {"fixed": "x"}, {"fixed": 3}, 5):
        with pytest.raises(ValidationError):
            adapter.validate_python({"gap": gap})
    assert adapter.json_schema()


def test_chance_and_floors_are_those_of_the_definition() -> None:
    task = MQAR(num_pairs=4)
    assert task.chance(64) == 1 / 4096
    assert task.floors(64) == {"value set": 0.25}
