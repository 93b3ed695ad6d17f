"""The random bits are the stated function of their address, and look random."""

import hashlib

import pytest
import torch
from lengthwise.tasks.random_bits import RandomBits
from lengthwise.tasks.task import Split

from tests.tasks.goodness import independent, uniform

MASK = 2**64 - 1


def expected_bits(seed: int, stream: str, split: int, example: int, draw: int) -> int:
    """The definition, in Python's integers."""
    key = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=16).digest()
    first, second = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    x = ((example << 24 | split << 22 | draw) * 0x9E3779B97F4A7C15 + first) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9 + second) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


@pytest.mark.parametrize(("split", "number"), [("train", 0), ("validation", 1), ("test", 2)])
@pytest.mark.parametrize("start", [0, 12345, 2**40 - 3])
def test_bits_and_integers_are_what_their_definition_says(
    split: Split, number: int, start: int
) -> None:
    source = RandomBits(-7, split, start, 3)
    expected = [
        [expected_bits(-7, "a", number, example, draw) for draw in range(5)]
        for example in range(start, start + 3)
    ]
    assert [[x & MASK for x in row] for row in source.bits("a", 5).tolist()] == expected
    for bound in (1, 10, 2**13, 2**31):
        halves = [[x >> part & (2**32 - 1) for x in row for part in (0, 32)] for row in expected]
        scaled = [[half * bound >> 32 for half in row] for row in halves]
        assert source.integers("a", 10, bound).tolist() == scaled


def test_fewer_draws_are_a_prefix_of_more() -> None:
    source = RandomBits(0, "train", 4, 6)
    for draws in (0, 1, 2, 7):
        assert torch.equal(source.bits("a", draws), source.bits("a", 9)[:, :draws])
        assert torch.equal(
            source.integers("a", draws, 100), source.integers("a", 9, 100)[:, :draws]
        )


def test_draws_of_a_stream_never_repeat_across_splits_examples_and_counters() -> None:
    splits: list[Split] = ["train", "validation", "test"]
    draws = torch.cat([RandomBits(3, split, 0, 1000).bits("a", 300) for split in splits])
    assert draws.unique().numel() == draws.numel()


@pytest.mark.parametrize("bound", [2, 7, 26, 4096])
def test_integers_are_uniform_and_neighbours_are_independent(bound: int) -> None:
    integers = RandomBits(1, "train", 0, 4000).integers("a", 101, bound)
    counts = integers.flatten().bincount(minlength=bound)
    assert uniform(counts)
    sixteenths = integers * min(bound, 16) // bound
    along = sixteenths[:, :-1] * 16 + sixteenths[:, 1:]
    across = sixteenths[:-1] * 16 + sixteenths[1:]
    for pairs in (along, across):
        assert independent(pairs.flatten().bincount(minlength=256).view(16, 16))


@pytest.mark.parametrize("other", [{"seed": 1}, {"split": "test"}, {"start": 1 << 33}])
def test_each_bit_is_fair_and_independent_of_another_address(other: dict[str, object]) -> None:
    address = {"seed": 0, "split": "train", "start": 0, "count": 3000}
    here = RandomBits(**address).bits("a", 8)  # pyright: ignore[reportArgumentType]
    there = RandomBits(**address | other).bits("a", 8)  # pyright: ignore[reportArgumentType]
    fair = 5 * 0.5 / (3000 * 8) ** 0.5
    for word in (here, here ^ there, here ^ RandomBits(0, "train", 0, 3000).bits("b", 8)):
        for bit in range(64):
            assert abs((word >> bit & 1).double().mean() - 0.5) < fair


def test_flipping_one_bit_of_an_address_flips_half_of_the_bits() -> None:
    base = RandomBits(0, "train", 0, 2000).bits("a", 1)
    for bit in (11, 20, 39):  # above the 2,000 examples' own
        flipped = RandomBits(0, "train", 1 << bit, 2000).bits("a", 1)
        for out in range(64):
            assert abs(((base ^ flipped) >> out & 1).double().mean() - 0.5) < 0.06


def test_impossible_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^split: 'dev' is not one of train, validation, test$"):
        RandomBits(0, "dev", 0, 1)  # pyright: ignore[reportArgumentType]
    for start, count in [(-1, 1), (2**40, 1), (0, -1)]:
        with pytest.raises(ValueError, match=rf"^start: {start} with count: {count} leaves the ex"):
            RandomBits(0, "train", start, count)
    with pytest.raises(ValueError, match=r"^draws: 4194305 is more than the 4194304 that an exam"):
        RandomBits(0, "train", 0, 1).bits("a", 2**22 + 1)
