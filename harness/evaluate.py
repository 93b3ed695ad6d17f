"""Testing trained members: how many answers are right at each length, at what cost."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from lengthwise.harness.graph import Captured
from lengthwise.harness.population import Population
from lengthwise.tasks.task import Batch, Split
from torch import Tensor

TOKENS_AT_ONCE = {"cpu": 2**15, "cuda": 2**20}
"""Tokens of all members together in one forward call, where one example of each is not more; like
the next it bounds memory, not results."""
LOGITS_AT_ONCE = 2**28
"""Numbers that the head gives in one forward call, likewise."""


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
    right: list[Tensor] = []
    valid: list[Tensor] = []
    distances: list[Tensor] = []
    seconds = 0.0
    for batch in _pieces(population, split, length, examples):
        between()
        if not batch.mask.any():  # also waits until the batch is made
            raise ValueError(f"the task has no answers at length {length}")
        begin = time.perf_counter()
        hits = population.hits(batch).cpu()
        seconds += time.perf_counter() - begin
        right.append(hits)
        valid.append(batch.mask.unflatten(0, (members, -1)))
        distances.append(batch.distances.unflatten(0, (members, -1)))
    cost = seconds / (members * examples)
    joined = [torch.cat(each, 1).cpu() for each in (right, valid, distances)]
    return [_score(hits, mask, far, length, cost) for hits, mask, far in zip(*joined, strict=True)]


def _pieces(population: Population, split: Split, length: int, examples: int) -> Iterator[Batch]:
    """The first examples of every member, as many at once as memory is good for."""
    members = len(population.runs)
    tokens = TOKENS_AT_ONCE[population.device.type] // (members * length)
    answers = population.batch(split, 0, 1, length).answers.shape[1]
    logits = LOGITS_AT_ONCE // (members * answers * population.task.vocab_size)
    at_once = max(1, min(tokens, logits))
    for start in range(0, examples, at_once):
        yield population.batch(split, start, min(at_once, examples - start), length)


class Validation:
    """The accuracy of every member on its validation examples, again and again in training."""

    def __init__(self, population: Population) -> None:
        train = population.runs[0].train
        pieces = _pieces(population, "validation", train.length, train.validation_examples)
        self.population = population
        self.batches = list(pieces)
        answers = torch.stack([self._sums(each.mask) for each in self.batches]).sum(0)
        self.answers: list[int] = answers.tolist()
        self.counting = Captured(self._count, population.device)

    def __call__(self) -> list[float]:
        """Accuracies of the members, in order.

        Raises:
            ValueError: the task's examples have no answers at this length.
        """
        if 0 in self.answers:
            raise ValueError(
                f"the task has no answers at length {self.population.runs[0].train.length}"
            )
        correct = self.counting().tolist()
        return [right / of for right, of in zip(correct, self.answers, strict=True)]

    def _count(self) -> Tensor:
        """Right answers of each member [P]."""
        hits = [self.population.hits(each).flatten(0, 1) & each.mask for each in self.batches]
        return torch.stack([self._sums(each) for each in hits]).sum(0)

    def _sums(self, of: Tensor) -> Tensor:
        return of.unflatten(0, (len(self.population.runs), -1)).sum((1, 2))


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
