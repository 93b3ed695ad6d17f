"""What every task is: a frozen dataclass whose examples are pure functions of their index."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Batch:
    """B examples of T tokens with A answers each; A depends on the task and the length alone.

    At position p the model, having read tokens[:p + 1], must predict the answer.
    """

    tokens: Tensor
    """[B, T] int64."""
    positions: Tensor
    """[B, A] int64: where each answer is due."""
    answers: Tensor
    """[B, A] int64."""
    mask: Tensor
    """[B, A] bool: False where an answer slot is unused."""
    distances: Tensor
    """[B, A] int64: tokens between the place where the fact was written and the answer position."""


class Task(ABC):
    """A generated task. Subclasses are frozen dataclasses whose fields are its difficulty knobs."""

    vocab_size: int
    """Number of token ids; tokens and answers lie in 0 … vocab_size − 1."""

    @abstractmethod
    def check_length(self, length: int) -> None:
        """Raises a ValueError that says what to change when the task cannot fill this length."""

    @abstractmethod
    def sample(
        self,
        *,
        seed: int,
        split: Split,
        start: int,
        count: int,
        length: int,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Examples start … start + count − 1 of a split.

        A pure function: example i of a split is the same on every device, in any batch, in any
        order. Different seeds and different splits draw from disjoint streams of random bits.
        """

    @abstractmethod
    def chance(self, length: int) -> float:
        """Accuracy of guessing uniformly among the tokens that can be an answer."""

    def floors(self, length: int) -> dict[str, float]:  # noqa: ARG002
        """Accuracies of named shortcuts, such as knowing the set of values but not the binding."""
        return {}
