"""One token from a state: the whole call, beside reading and writing the state once."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from lengthwise.harness.bench.kernels.contenders import Contender, forward, ours
from lengthwise.harness.bench.kernels.measure import Rivals
from lengthwise.harness.bench.kernels.problems import Problem
from lengthwise.harness.bench.kernels.timing import Call, Tick, interleaved, ratio
from torch import Tensor

TOUCH = "read and write the state"


@dataclass(frozen=True)
class Step:
    """Medians over the rounds; the times are None where the contender is missing."""

    operator: str
    dimensions: str
    shape: tuple[int, ...]
    state_bytes: int
    who: str
    microseconds: float | None
    """Of the call, from Python to Python."""
    touch_microseconds: float | None
    """Of reading the state and writing as many bytes elsewhere, by torch."""
    times_touch: float | None
    """The one over the other in the same rounds."""
    behind: float | None
    """Time over ours in the same rounds."""
    missing: str = ""


def decode(problem: Problem, rivals: Rivals, rounds: int, tick: Tick) -> list[Step]:
    """A row a contender, ours first, without gradients; `tick` is called `rounds` + 1 times.

    transformers' Mamba updates its state in place, so it starts from a copy.
    """
    state = problem.state()
    tensors = problem.inputs() | {"initial_state": state}
    found = [*ours(problem, tensors), *rivals(problem, tensors | {"initial_state": state.clone()})]
    calls: dict[Hashable, Call] = {TOUCH: _touch(state)}
    calls |= {each.who: forward(each) for each in found if isinstance(each, Contender)}
    seconds = interleaved(calls, rounds, tick)
    place = (problem.operator, problem.dimensions, problem.shape, state.nbytes)
    touch, best = seconds[TOUCH], seconds[found[0].who]
    return [
        Step(
            *place,
            each.who,
            1e6 * float(np.nanmedian(seconds[each.who])),
            1e6 * float(np.nanmedian(touch)),
            ratio(seconds[each.who], touch),
            ratio(seconds[each.who], best),
        )
        if isinstance(each, Contender)
        else Step(*place, each.who, None, None, None, None, each.why)
        for each in found
    ]


def _touch(state: Tensor) -> Call:
    other = torch.empty_like(state)
    return lambda: torch.mul(state, 0.9, out=other)
