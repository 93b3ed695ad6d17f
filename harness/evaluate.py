"""Testing trained members: how many answers are right at each length, at what cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from lengthwise.harness.population import Population
from lengthwise.tasks.task import Batch, Split
from torch import Tensor

TOKENS_AT_ONCE = 32_768
"""Tokens of all members together in one forward call, where one example of each is not more; it
bounds memory, not results."""


@dataclass(frozen=True)
class Score:
    """One member on one split at one length."""

    length: int
    examples: int
    answers: int
    correct: int
    exact: int
    """Examples with every answer right."""
    seconds: float
    """Forward time an example and member."""
    distances: dict[int, tuple[int, int]]
    """Bin n holds distances 2ⁿ … 2ⁿ⁺¹ − 1 (bin 0 also distance 0): answers and correct ones."""

    @property
    def capability(self) -> float:
        return self.correct / self.answers


def evaluate(
    population: Population,
    split: Split,
    length: int,
    examples: int,
    between: Callable[[], None] = lambda: None,
) -> list[Score]:
    """Scores every member on the first examples of its own seed's split.

    Example i of a member is the same however many members and examples are computed at once.

    Args:
        between: called before each forward call; what it raises ends the evaluation.

    Raises:
        ValueError: the task's examples have no answers at this length.
    """
    members = len(population.runs)
    at_once = max(1, TOKENS_AT_ONCE // (members * length))
    right: list[Tensor] = []
    valid: list[Tensor] = []
    distances: list[Tensor] = []
    seconds = 0.0
    for start in range(0, examples, at_once):
        between()
        batch = population.batch(split, start, min(at_once, examples - start), length)
        if not batch.mask.any():  # also waits until the batch is made
            raise ValueError(f"the task has no answers at length {length}")
        begin = time.perf_counter()
        hits = _hits(population, batch)
        seconds += time.perf_counter() - begin
        right.append(hits)
        valid.append(batch.mask.unflatten(0, (members, -1)))
        distances.append(batch.distances.unflatten(0, (members, -1)))
    cost = seconds / (members * examples)
    joined = [torch.cat(each, 1).cpu() for each in (right, valid, distances)]
    return [_score(hits, mask, far, length, cost) for hits, mask, far in zip(*joined, strict=True)]


@torch.inference_mode()
def _hits(population: Population, batch: Batch) -> Tensor:
    """[P, B, A]: whether the most likely token is the answer. Non-finite logits are never right."""
    logits = population.logits(batch)
    guesses = torch.where(logits.isfinite().all(-1), logits.argmax(-1), -1)
    return (guesses == batch.answers.view_as(guesses)).cpu()


def _score(right: Tensor, valid: Tensor, distances: Tensor, length: int, cost: float) -> Score:
    right = right & valid
    bins = torch.frexp(distances.clamp_min(1).double()).exponent - 1
    return Score(
        length=length,
        examples=right.shape[0],
        answers=int(valid.sum()),
        correct=int(right.sum()),
        exact=int((right | ~valid).all(1).sum()),
        seconds=cost,
        distances={
            int(each): (int((valid & (bins == each)).sum()), int((right & (bins == each)).sum()))
            for each in bins[valid].unique()
        },
    )
