"""Draws without replacement follow their laws."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.tasks.random_bits import RandomBits
from lengthwise.tasks.random_draws import distinct, draws_for, log2, power_law_order

from tests.tasks.goodness import follows, independent


def sequential_law(weights: list[float], count: int) -> dict[tuple[int, ...], float]:
    """Probability of every ordered draw, one slot after another from those that are left."""
    law = {}
    for draw in permutations(range(len(weights)), count):
        left, probability = sum(weights), 1.0
        for slot in draw:
            probability *= weights[slot] / left
            left -= weights[slot]
        law[draw] = probability
    return law


def obeys(draws: torch.Tensor, law: dict[tuple[int, ...], float]) -> bool:
    rows = [tuple(row) for row in draws.tolist()]
    counts = dict.fromkeys(law, 0)
    for row in rows:
        counts[row] += 1
    expected = [len(rows) * probability for probability in law.values()]
    return follows(list(counts.values()), expected)


@given(data=st.data(), bound=st.integers(1, 3000), start=st.integers(0, 2**39))
def test_a_distinct_draw_never_repeats_and_keeps_the_first_of_the_draws_below_it(
    data: st.DataObject, bound: int, start: int
) -> None:
    count = data.draw(st.integers(0, bound))
    source = RandomBits(0, "train", start, 4)
    drawn = distinct(source, "a", count, bound)
    assert drawn.shape == (4, count)
    for row in drawn.tolist():
        assert len(set(row)) == count
        assert all(0 <= each < bound for each in row)
    if bound < 8 * count:
        expected = source.bits("a", bound).argsort(dim=1)[:, :count].tolist()
    else:
        draws = source.integers("a", draws_for(count, bound), bound).tolist()
        expected = [list(dict.fromkeys(row))[:count] for row in draws]
    assert drawn.tolist() == expected


@pytest.mark.parametrize(("count", "bound"), [(3, 4), (2, 16), (3, 24), (1, 9)])
def test_a_distinct_draw_is_uniform_over_ordered_draws(count: int, bound: int) -> None:
    drawn = distinct(RandomBits(0, "validation", 0, 30_000), "a", count, bound)
    assert obeys(drawn, sequential_law([1.0] * bound, count))


def exact_shortfall(draws: int, count: int, bound: int) -> float:
    """Probability that so many draws show fewer than count values: the occupancy recursion."""
    seen = np.zeros(count)
    seen[0] = 1.0
    for _ in range(draws):
        again = seen * np.arange(count) / bound
        new = np.concatenate(([0.0], (seen * (1 - np.arange(count) / bound))[:-1]))
        seen = again + new
    return float(seen.sum())


@pytest.mark.parametrize(
    ("count", "bound"), [(2, 16), (4, 4095), (8, 64), (31, 2048), (256, 4095), (100, 800)]
)
def test_the_number_of_draws_is_enough_and_not_wasteful(count: int, bound: int) -> None:
    draws = draws_for(count, bound)
    assert exact_shortfall(draws, count, bound) < 2.0**-64
    assert exact_shortfall(count + (draws - count) // 3, count, bound) > 2.0**-64


def test_more_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match=r"^count: 5 distinct draws do not exist among 4$"):
        distinct(RandomBits(0, "train", 0, 1), "a", 5, 4)
    with pytest.raises(ValueError, match=r"^slots: 4 is not within 5 … 2\^20$"):
        power_law_order(RandomBits(0, "train", 0, 1), "a", 5, 4, 0.5)


def test_log2_is_exact_at_powers_of_two_monotone_and_within_its_bound() -> None:
    powers = 2 ** torch.arange(53)
    assert torch.equal(log2(powers), torch.arange(53) << 40)
    values = RandomBits(0, "train", 0, 1).integers("a", 100_000, 2**31)[0] + 1
    values = torch.cat((values, values << 21, (1 << 52) - values)).sort().values
    found = log2(values)
    assert (found.diff() >= 0).all()
    assert (found.double() / 2**40 - values.double().log2()).abs().max() < 2**-26


@pytest.mark.parametrize("power_a", [0.0, 0.01, 0.5, 1.0, 1.7])
@pytest.mark.parametrize(("count", "slots"), [(2, 5), (4, 4), (1, 28)])
def test_the_power_law_order_follows_the_sequential_law(
    power_a: float, count: int, slots: int
) -> None:
    weights = [(slot + 1) ** (power_a - 1) for slot in range(slots)]
    drawn = power_law_order(RandomBits(2, "train", 0, 30_000), "a", count, slots, power_a)
    assert obeys(drawn, sequential_law(weights, count))


@pytest.mark.parametrize(("count", "slots"), [(4, 28), (64, 192), (16, 100_000)])
def test_the_power_law_order_is_that_of_an_exponential_race_in_floating_point(
    count: int, slots: int
) -> None:
    source = RandomBits(0, "test", 0, max(20, 20_000 // slots))
    drawn = power_law_order(source, "a", count, slots, 0.01).numpy()
    uniform = (source.bits("a", slots).numpy() >> 12 & (2**52 - 1) | 1) / 2.0**52
    times = -np.log(uniform) * np.arange(1, slots + 1) ** 0.99
    expected = times.argsort(axis=1)[:, :count]
    assert (drawn == expected).mean() > 0.999
    chosen = np.take_along_axis(times, drawn, axis=1)
    assert (chosen[:, 1:] > chosen[:, :-1] * (1 - 2.0**-12)).all()


def test_the_power_law_includes_slots_as_often_as_numpy_does() -> None:
    count, slots, examples = 4, 28, 20_000
    weights = np.arange(1, slots + 1) ** (0.01 - 1)
    weights /= weights.sum()
    generator = np.random.default_rng(0)
    theirs = np.stack(
        [generator.choice(slots, count, replace=False, p=weights) for _ in range(8000)]
    )
    ours = power_law_order(RandomBits(0, "train", 0, examples), "a", count, slots, 0.01).numpy()
    for draw in range(count):
        table = np.stack([np.bincount(each[:, draw], minlength=slots) for each in (ours, theirs)])
        assert independent(table)
    assert math.isclose(ours.mean(), theirs.mean(), rel_tol=0.03)
