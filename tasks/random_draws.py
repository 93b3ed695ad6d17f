"""Draws without replacement, uniform or by a power law, from counter-based random bits."""

import decimal
import math
from functools import lru_cache
from itertools import count as count_up

import torch
from lengthwise.tasks.random_bits import RandomBits
from torch import Tensor

FRACTION = 40
"""Fraction bits of the fixed-point logarithms."""
CELLS = 12
"""Bits of the mantissa that choose a cell of the logarithm's table."""
WITHIN = 30
"""Bits of the mantissa that interpolate within a cell."""
SLOTS = 20
"""Bits that hold a slot's number."""


def distinct(source: RandomBits, stream: str, count: int, bound: int) -> Tensor:
    """A uniform ordered draw without replacement: count of 0 … bound − 1.

    Few of many: repeats are dropped from a fixed number of independent draws, of which fewer than
    count differ with a probability below 2^−64 (then, and only then, the draw ends in zeros).
    Otherwise: the order of bound random keys, which never tie.

    Returns:
        [B, count] int64.

    Raises:
        ValueError: count > bound.

    >>> distinct(RandomBits(seed=0, split="train", start=0, count=2), "hand", 3, 52).tolist()
    [[6, 18, 36], [5, 9, 39]]
    """
    if count > bound:
        raise ValueError(f"count: {count} distinct draws do not exist among {bound}")
    if bound < 8 * count:
        return source.bits(stream, bound).topk(count, largest=False).indices
    draws = source.integers(stream, draws_for(count, bound), bound)
    ascending, order = draws.sort(dim=1, stable=True)  # stable: a repeat follows its first draw
    repeats = torch.zeros_like(draws, dtype=torch.bool)
    repeats[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
    fresh = torch.zeros_like(repeats).scatter_(1, order, ~repeats)
    places = torch.where(fresh, fresh.cumsum(1) - 1, count).clamp_max_(count)
    kept = draws.new_zeros(source.count, count + 1)
    return kept.scatter_(1, places, draws)[:, :count]


@lru_cache
def draws_for(count: int, bound: int) -> int:
    """Independent draws from bound values, of which ≥ count differ but for probability 2^−64.

    As long as fewer than count have been seen, a draw repeats one with a probability of at most
    p = (count − 1)/bound. So the r = M − count + 1 repeats that make M draws fall short are as rare
    as r successes in M trials of chance p: at most exp(−M·KL(r/M ‖ p)) by Chernoff's bound. The
    2^−32 by which `integers` is uneven is added to p. M cannot change a draw that succeeds.

    >>> draws_for(4, 4095), draws_for(256, 4095)
    (10, 328)
    """
    if count <= 1:
        return count
    p = (count - 1) * (1 / bound + 2**-32)

    def rarity(draws: int) -> float:
        """−ln of the bound on falling short, where it bounds anything."""
        r = (draws - count + 1) / draws
        return draws * (r * math.log(r / p) + (1 - r) * math.log((1 - r) / (1 - p))) * (r > p)

    return next(draws for draws in count_up(count) if rarity(draws) >= 64 * math.log(2))


def power_law_order(
    source: RandomBits, stream: str, count: int, slots: int, power_a: float
) -> Tensor:
    """A draw of slots without replacement, slot i with weight (i + 1)^(power_a − 1), in draw order.

    An exponential race: slot i arrives at time −ln(u_i) / weight_i, and the first ones win. What
    is compared is the time's logarithm, log2(−log2 u_i) + (1 − power_a)·log2(i + 1), in fixed
    point: integers only, so every device agrees. A time is off by a factor within 1 ± 2^−12 (if
    −log2 u_i > 2^−28, which one slot in 2^28 undercuts), a weight by a factor within 1 ± 2^−15.
    Of times equal to a factor of 2^(2^−34), the lower slot's is first.

    Args:
        source: the examples' random bits.
        stream: the stream's name.
        count: slots to draw, ≤ slots.
        slots: slots to draw from, ≤ 2^20.
        power_a: 1 is uniform, 0 gives weights 1/(i + 1); within 0 … 2.

    Returns:
        [B, count] int64.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006); the law is
    Zoology's (arXiv 2312.04927).

    >>> power_law_order(RandomBits(seed=0, split="train", start=0, count=1), "x", 4, 28, 0.01)
    tensor([[18,  0,  5, 11]])
    """
    if not count <= slots <= 2**SLOTS:
        raise ValueError(f"slots: {slots} is not within {count} … 2^{SLOTS}")
    uniform = (source.bits(stream, slots) >> 12).bitwise_and_(2**52 - 1).bitwise_or_(1)
    arrival = log2(log2(uniform).neg_().add_(52 << FRACTION).clamp_min_(1))
    numbers = torch.arange(slots, device=source.device)
    exponent = round((1 - power_a) * 2**18)  # 2^18 · 2^FRACTION · log2(2^20) stays below 2^63
    arrival += (log2(numbers + 1) * exponent) >> 18
    arrival.bitwise_right_shift_(6).bitwise_left_shift_(SLOTS).bitwise_or_(numbers)
    return arrival.topk(count, largest=False).values.bitwise_and_(2**SLOTS - 1)


def log2(x: Tensor) -> Tensor:
    """log2(x)·2^40 of integers 1 ≤ x < 2^53, exact at powers of two, elsewhere within 2^−26.

    Linear between the 4,097 table points of an octave.

    >>> log2(torch.tensor([1, 8, 10])) / 2**40
    tensor([0.0000, 3.0000, 3.3219])
    """
    pattern = x.to(torch.float64).view(torch.int64)  # exact: the exponent and 52 bits of mantissa
    low, rise = _log2_table(x.device)
    cell = (pattern >> (52 - CELLS)).bitwise_and_(2**CELLS - 1)
    within = (pattern >> (52 - CELLS - WITHIN)).bitwise_and_(2**WITHIN - 1)
    within.mul_(rise.take(cell)).bitwise_right_shift_(WITHIN).add_(low.take(cell))
    return pattern.bitwise_right_shift_(52).bitwise_left_shift_(FRACTION).add_(within)


@lru_cache
def _log2_table(device: torch.device) -> tuple[Tensor, Tensor]:
    """The start of each cell, less a float64's exponent bias, and the rise to the next.

    In decimal arithmetic, which is software: a libm would round otherwise on other machines.
    """
    with decimal.localcontext(prec=30):
        unit = 2**FRACTION / decimal.Decimal(2).ln()
        points = [
            round((1 + decimal.Decimal(cell) / 2**CELLS).ln() * unit)
            for cell in range(2**CELLS + 1)
        ]
    table = torch.tensor(points, device=device)
    return table[:-1] - (1023 << FRACTION), table.diff()
