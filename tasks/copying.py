"""Copying: read tokens, then repeat them in order, with or without blanks to skip."""

from dataclasses import dataclass
from fractions import Fraction

import torch
from lengthwise.tasks.random_bits import RandomBits
from lengthwise.tasks.random_draws import distinct
from lengthwise.tasks.task import Batch, Split, Task
from torch import Tensor


@dataclass(frozen=True)
class Copying(Task):
    """A zone that holds x1 … xM, a mark, x1 … x(M − 1); due are x1 … xM, from the mark on.

    Token ids: 0 … V − 3 are content, drawn uniformly; V − 2 is the blank; V − 1 is the mark. Zone,
    mark and the M − 1 repeated tokens make up the whole length. At the mark x1 is due, at the
    repeated xj the next one: each answer is given once the ones before it are known. The load M
    grows with the length. A distance is an answer's position less that of its token in the zone.

    Plain: the zone is x1 … xM, M = ⌊length / 2⌋, behind one blank where the length is odd; every
    distance is M. Selective: the zone's M content tokens, in order, are at uniformly random
    places among blanks.

    Args:
        vocab_size: V, ≥ 4.
        selective: scatter the content among blanks.
        density: of the selective form, content tokens per token of the zone, in (0, 1]: M is the
            largest number that does not exceed it, and at least 1.

    Raises:
        ValueError: knobs out of range, or, from check_length and sample, a length below 2.

    Source: string copying of Jelassi et al., Repeat After Me (arXiv 2402.01032), and selective
    copying of Gu and Dao, Mamba (arXiv 2312.00752), where the layout is left open: it is ours.

    >>> batch = Copying(vocab_size=12).sample(seed=0, split="train", start=0, count=1, length=8)
    >>> batch.tokens[0].tolist(), batch.answers[0].tolist()
    ([9, 0, 2, 5, 11, 9, 0, 2], [9, 0, 2, 5])
    """

    vocab_size: int = 32
    selective: bool = False
    density: float = 0.25

    def __post_init__(self) -> None:
        if self.vocab_size < 4:
            raise ValueError(
                f"vocab_size: {self.vocab_size} is below 4 (two content tokens, blank and mark)"
            )
        if not 0 < self.density <= 1:
            raise ValueError(f"density: {self.density} is not within 0 (excluded) … 1")

    def check_length(self, length: int) -> None:
        if length < 2:
            raise ValueError(f"length: {length} is below 2 (one token and the mark); raise length")

    def load(self, length: int) -> int:
        """Content tokens M: the largest M ≥ 1 with M ≤ density · (length − M).

        >>> Copying().load(100), Copying(selective=True, density=0.25).load(100)
        (50, 20)
        """
        if not self.selective:
            return length // 2
        density = Fraction(str(self.density))  # as written: 0.3 is three tenths
        return max(1, int(density * length / (1 + density)))

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
        self.check_length(length)
        source = RandomBits(seed, split, start, count, device)
        load = self.load(length)
        zone = length - load
        content = source.integers("content", load, self.vocab_size - 2)
        places = self._places(source, load, zone)
        positions = torch.arange(zone, length, device=device).expand(count, -1).contiguous()

        tokens = torch.full((count, length), self.vocab_size - 2, device=device)
        tokens.scatter_(1, places, content)
        tokens[:, zone] = self.vocab_size - 1
        tokens[:, zone + 1 :] = content[:, :-1]
        return Batch(
            tokens=tokens,
            positions=positions,
            answers=content,
            mask=torch.ones_like(positions, dtype=torch.bool),
            distances=positions - places,
        )

    def _places(self, source: RandomBits, load: int, zone: int) -> Tensor:
        """Where the content stands in the zone, ascending [B, load]."""
        if self.selective:
            return distinct(source, "places", load, zone).sort(dim=1).values
        return torch.arange(zone - load, zone, device=source.device).expand(source.count, -1)

    def chance(self, length: int) -> float:  # noqa: ARG002
        """Guessing among all content tokens."""
        return 1 / (self.vocab_size - 2)

    def floors(self, length: int) -> dict[str, float]:
        """first token: the first answer is known, the others are guessed."""
        load, chance = self.load(length), self.chance(length)
        return {"first token": (1 + (load - 1) * chance) / load}
