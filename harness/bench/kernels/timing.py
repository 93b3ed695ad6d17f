"""Timing side by side: contenders take turns, so that a slow minute slows all of them."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)
Call = Callable[[], object]
Tick = Callable[[], None]
Floats = NDArray[np.float64]

TURN_SECONDS = 0.02
"""A turn repeats a short call for so long, and its median counts: the first calls still find the
caches, and the waiting threads, of the contender before."""
BUDGET_SECONDS = 20.0
"""A call that would take longer in all rounds together takes part in the first few alone."""


def turn(call: Call) -> float:
    """Seconds of a call, the median of as many as a turn holds."""
    spent: list[float] = []
    end = time.perf_counter() + TURN_SECONDS
    while not spent or time.perf_counter() < end:
        spent.append(once(call))
    return statistics.median(spent)


def once(call: Call) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def interleaved(calls: Mapping[Key, Call], rounds: int, tick: Tick) -> dict[Key, Floats]:
    """Seconds [rounds] of each call, each taking one turn a round after one untimed call.

    A long call takes part in the first rounds only, see `affordable`, and is NaN in the others.
    `tick` is called after the untimed calls and after every round.
    """
    last = {key: affordable(once(call), rounds) for key, call in calls.items()}
    tick()
    seconds = {key: np.full(rounds, np.nan) for key in calls}
    for number in range(rounds):
        for key, call in calls.items():
            if number < last[key]:
                seconds[key][number] = turn(call)
        tick()
    return seconds


def affordable(seconds: float, rounds: int) -> int:
    """How many of the rounds a call of so many seconds takes part in: at least one.

    >>> affordable(0.1, 7), affordable(5.0, 7), affordable(60.0, 7)
    (7, 4, 1)
    """
    return max(1, min(rounds, int(BUDGET_SECONDS / seconds)))


def ratio(numerator: Floats, denominator: Floats) -> float:
    """The median of the ratios of each round, over the rounds that both have.

    >>> ratio(np.array([3.0, 2.0, 40.0]), np.array([1.0, 2.0, 4.0]))
    3.0
    """
    return float(np.nanmedian(numerator / denominator))
