"""Needle in a haystack: a key and its value somewhere in filler, asked for at the end."""

from dataclasses import dataclass
from typing import Literal

import torch
from lengthwise.tasks.random_bits import RandomBits
from lengthwise.tasks.random_draws import distinct
from lengthwise.tasks.task import Batch, Split, Task
from torch import Tensor

QUERY = 0


@dataclass(frozen=True)
class Needle(Task):
    """Filler with needles k v1 … vm in it, then QUERY k v1 … v(m − 1); due are v1 … vm from k on.

    Token ids: 0 is QUERY; the rest is cut in three, with n = ⌊(V − 1)/3⌋: keys 1 … n, values
    n + 1 … 2n, filler 2n + 1 … V − 1, each drawn uniformly, the keys of an example all different.
    Each answer is given once the ones before it are known. A distance is an answer's position
    less the position of its needle's key.

    The needle asked for stands at `depth`, exactly. The others are distractors with other keys,
    each in its own cell of the grid of needle-wide cells that the first one's place defines: so
    needles never overlap. (Some places leave room for one more cell than others; it stays free.)

    With one needle, keys need no matching: the only key and value in the haystack are the answer.
    With several and a fixed depth, the place alone tells which one will be asked for.

    Args:
        vocab_size: V, ≥ 7.
        num_needles: the load, needles in the haystack, at most n.
        depth: where the needle asked for stands, from 0 (the first token) to 1 (just before QUERY),
            or uniform: every place is equally likely.
        value_length: m, tokens of a value.

    Raises:
        ValueError: knobs out of range; from check_length and sample, a length they do not fit.

    Source: after Hsieh et al., RULER (arXiv 2404.06654), in tokens; the layout is ours.

    >>> task = Needle(vocab_size=16, depth=0.5, value_length=2)
    >>> batch = task.sample(seed=0, split="train", start=0, count=1, length=12)
    >>> batch.tokens[0].tolist(), batch.positions[0].tolist(), batch.answers[0].tolist()
    ([11, 11, 15, 2, 7, 6, 14, 12, 13, 0, 2, 7], [10, 11], [7, 6])
    """

    vocab_size: int = 64
    num_needles: int = 1
    depth: float | Literal["uniform"] = "uniform"
    value_length: int = 1

    def __post_init__(self) -> None:
        if self.vocab_size < 7:
            raise ValueError(
                f"vocab_size: {self.vocab_size} is below 7 (QUERY, two keys, values and fillers)"
            )
        if not 1 <= self.num_needles <= self._alphabet:
            raise ValueError(
                f"num_needles: {self.num_needles} is not within 1 … {self._alphabet}, "
                f"the keys of vocab_size: {self.vocab_size}"
            )
        if self.value_length < 1:
            raise ValueError(f"value_length: {self.value_length} is below 1")
        if isinstance(self.depth, str):
            if self.depth != "uniform":
                raise ValueError(f"depth: {self.depth!r} is not a number within 0 … 1 or uniform")
        elif not 0 <= self.depth <= 1:
            raise ValueError(f"depth: {self.depth} is not within 0 … 1")

    @property
    def _alphabet(self) -> int:
        """Number of keys, and of values."""
        return (self.vocab_size - 1) // 3

    @property
    def _width(self) -> int:
        """Tokens of a needle, and of the question."""
        return 1 + self.value_length

    def check_length(self, length: int) -> None:
        needed = self._width * (self.num_needles + 2)
        if length < needed:
            raise ValueError(
                f"num_needles: {self.num_needles} does not fit length {length} "
                f"(needs (1 + {self.value_length})·({self.num_needles} + 2) = {needed}); "
                "lower num_needles or value_length, or raise length"
            )

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
        needles, haystack = self._needles(source), length - self._width
        places = self._places(source, haystack)
        within = torch.arange(self._width, device=device)
        fillers = self.vocab_size - 1 - 2 * self._alphabet

        tokens = source.integers("filler", length, fillers) + (2 * self._alphabet + 1)
        tokens.scatter_(1, (places[..., None] + within).flatten(1), needles.flatten(1))
        tokens[:, haystack] = QUERY
        tokens[:, haystack + 1 :] = needles[:, 0, :-1]
        positions = torch.arange(haystack + 1, haystack + self._width, device=device)
        positions = positions.expand(count, -1).contiguous()
        return Batch(
            tokens=tokens,
            positions=positions,
            answers=needles[:, 0, 1:].contiguous(),
            mask=torch.ones_like(positions, dtype=torch.bool),
            distances=positions - places[:, :1],
        )

    def _needles(self, source: RandomBits) -> Tensor:
        """Keys and their values [B, num_needles, width]; the first one is asked for."""
        keys = distinct(source, "keys", self.num_needles, self._alphabet) + 1
        drawn = source.integers("values", self.num_needles * self.value_length, self._alphabet)
        values = drawn.unflatten(1, (self.num_needles, self.value_length)) + (self._alphabet + 1)
        return torch.cat((keys[..., None], values), dim=-1)

    def _places(self, source: RandomBits, haystack: int) -> Tensor:
        """Where each needle starts [B, num_needles]."""
        width = self._width
        last = haystack - width
        if isinstance(self.depth, str):
            first = source.integers("depth", 1, last + 1)
        else:
            first = torch.full((source.count, 1), round(self.depth * last), device=source.device)
        cells = (haystack + 1) // width - 1  # of the grid, whatever the first place is
        others = distinct(source, "places", self.num_needles - 1, cells - 1)
        others = others + (others >= first // width)  # pass over the first needle's cell
        return torch.cat((first, first % width + width * others), dim=1)

    def chance(self, length: int) -> float:  # noqa: ARG002
        """Guessing among all values."""
        return 1 / self._alphabet

    def floors(self, length: int) -> dict[str, float]:
        """value set: one of several needles is recited, whichever; some values coincide."""
        if self.num_needles == 1:
            return {}
        return {"value set": (1 + (self.num_needles - 1) * self.chance(length)) / self.num_needles}
