"""Forward and backward of one problem by everyone, side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lengthwise.harness.bench.kernels.contenders import Contender, Missing, both, forward, ours
from lengthwise.harness.bench.kernels.problems import Inputs, Problem
from lengthwise.harness.bench.kernels.timing import Call, Floats, Tick, interleaved, ratio

PRODUCT_SIZE = 2048
"""Rows and columns of the matrix product that stands for what the machine can do."""

Rivals = Callable[[Problem, Inputs], Sequence[Contender | Missing]]
Key = tuple[str, str]
"""Who, and "forward" or "both"."""
PRODUCT: Key = ("matrix product", "forward")


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds."""

    milliseconds: float
    gflops: float
    """Useful operations over time, in 10⁹ a second."""
    share: float
    """Of the rate of a float32 matrix product in the same rounds."""
    behind: float
    """Time over ours in the same rounds: so many times faster are we; 1 for ours."""
    rounds: int
    """In which it took part."""


@dataclass(frozen=True)
class Row:
    """What one contender reached; both speeds are None where it is missing."""

    operator: str
    variant: str
    dimensions: str
    shape: tuple[int, ...]
    who: str
    forward: Speed | None
    both: Speed | None
    """Forward and backward together."""
    missing: str = ""


def measure(
    problem: Problem,
    rivals: Rivals,
    rounds: int,
    tick: Tick,
    product_size: int = PRODUCT_SIZE,
) -> list[Row]:
    """A row a contender, ours first; all of them take turns with a matrix product of float32.

    Args:
        problem: what is computed.
        rivals: who else takes part.
        rounds: turns of each contender.
        tick: called `rounds` + 1 times.
        product_size: rows and columns of the matrix product.
    """
    inputs = problem.inputs()
    found = [*ours(problem, inputs), *rivals(problem, inputs)]
    present = [each for each in found if isinstance(each, Contender)]
    square = torch.randn(product_size, product_size)
    calls: dict[Key, Call] = {PRODUCT: lambda: square @ square}
    for each in present:
        calls[each.who, "forward"] = forward(each)
        calls[each.who, "both"] = both(each)
    speeds = compare(present, interleaved(calls, rounds, tick), 2 * product_size**3)
    place = (problem.operator, problem.variant, problem.dimensions, problem.shape)
    return [
        Row(*place, each.who, None, None, each.why)
        if isinstance(each, Missing)
        else Row(*place, each.who, speeds[each.who, "forward"], speeds[each.who, "both"])
        for each in found
    ]


def compare(
    contenders: Sequence[Contender], seconds: Mapping[Key, Floats], product_operations: int
) -> dict[Key, Speed]:
    """Speeds from the seconds of each round; the first contender is the one compared with."""
    peak = product_operations / seconds[PRODUCT]
    first = contenders[0].who

    def speed(contender: Contender, what: str, operations: int) -> Speed:
        spent = seconds[contender.who, what]
        rate = operations / spent
        return Speed(
            milliseconds=1e3 * float(np.nanmedian(spent)),
            gflops=1e-9 * float(np.nanmedian(rate)),
            share=ratio(rate, peak),
            behind=ratio(spent, seconds[first, what]),
            rounds=int((spent > 0).sum()),
        )

    return {
        (each.who, what): speed(each, what, operations)
        for each in contenders
        for what, operations in (
            ("forward", each.operations.forward),
            ("both", each.operations.both),
        )
    }
