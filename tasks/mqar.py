"""Multi-query associative recall: read pairs of keys and values, then give each key's value."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from lengthwise.tasks.random_bits import RandomBits
from lengthwise.tasks.random_draws import distinct, power_law_order
from lengthwise.tasks.task import Batch, Split, Task
from torch import Tensor
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12


class FixedGap(TypedDict):
    """Every query stands `fixed` tokens after its key."""

    fixed: int


GapLaw = Literal["power_law", "uniform", "far"]
Gap = GapLaw | FixedGap


@dataclass(frozen=True)
class MQAR(Task):
    """Pairs k1 v1 … kD vD, then each key once more, alone, at a place of the query zone.

    Token ids: 0 is filler, 1 … V/2 − 1 are keys, V/2 … V − 1 are values. An example's keys differ
    from each other, and so do its values. Pairs fill the first 2D positions; the rest is the query
    zone, (length − 2D)/2 slots of two tokens, and a query is a key on the first token of a slot.
    Its value is due right there, and is never written in the zone. Answers come in the order of
    their positions; a distance is the query's position less that of its key in the context.

    Args:
        vocab_size: V, even.
        num_pairs: the load D.
        gap: which slot asks for which key.
            power_law: D slots drawn without replacement, slot i with weight (i + 1)^(power_a − 1),
            given to the keys in draw order. With a small power_a most queries follow the pairs
            closely however long the context is.
            uniform: the same with equal weights.
            far: the last D slots, the keys in random order.
            {fixed: n}: query and key are n tokens apart, always (n even). A model with relative
            positions can then look n − 1 tokens back without reading any key.
        power_a: 1 makes the power law uniform, 0 makes it 1/(i + 1).
        random_filler: fill the query zone with uniform tokens 0 … V − 1, keys and values included,
            rather than with zeros.

    Raises:
        ValueError: knobs out of range; from check_length and sample, a length they do not fit.

    Source: Arora et al., Zoology (arXiv 2312.04927), whose layout, slot law and defaults these are;
    the gaps uniform, far and fixed are ours.

    >>> task = MQAR(vocab_size=16, num_pairs=2, random_filler=False)
    >>> batch = task.sample(seed=0, split="train", start=0, count=1, length=12)
    >>> batch.tokens[0].tolist(), batch.positions[0].tolist(), batch.answers[0].tolist()
    ([6, 11, 2, 12, 0, 0, 6, 0, 0, 0, 2, 0], [6, 10], [11, 12])
    """

    vocab_size: int = 8192
    num_pairs: int = 8
    gap: Gap = "power_law"
    power_a: float = 0.01
    random_filler: bool = True

    def __post_init__(self) -> None:
        if self.vocab_size < 4 or self.vocab_size % 2:
            raise ValueError(f"vocab_size: {self.vocab_size} is not an even number ≥ 4")
        keys = self.vocab_size // 2 - 1
        if not 1 <= self.num_pairs <= keys:
            raise ValueError(
                f"num_pairs: {self.num_pairs} is not within 1 … {keys}, "
                f"the keys of vocab_size: {self.vocab_size}"
            )
        if not 0 <= self.power_a <= 2:
            raise ValueError(f"power_a: {self.power_a} is not within 0 … 2")
        if isinstance(self.gap, str):
            known = self.gap in get_args(GapLaw)
        else:
            known = set(self.gap) == {"fixed"}
        if not known:
            raise ValueError(f"gap: {self.gap!r} is not power_law, uniform, far or {{fixed: n}}")
        shortest = 2 * self.num_pairs
        if self._fixed is not None and (self._fixed % 2 or self._fixed < shortest):
            raise ValueError(
                f"gap: {{fixed: {self._fixed}}} is not an even number ≥ {shortest}, "
                f"the tokens of num_pairs: {self.num_pairs}"
            )

    @property
    def _fixed(self) -> int | None:
        return None if isinstance(self.gap, str) else self.gap["fixed"]

    def check_length(self, length: int) -> None:
        if length % 2:
            raise ValueError(f"length: {length} is odd; slots of two tokens fill an even length")
        if 4 * self.num_pairs > length:
            raise ValueError(
                f"num_pairs: {self.num_pairs} does not fit length {length} "
                f"(needs 4·{self.num_pairs} = {4 * self.num_pairs}); "
                "lower num_pairs or raise length"
            )
        if self._fixed is not None and 2 * self.num_pairs + self._fixed > length:
            raise ValueError(
                f"gap: {{fixed: {self._fixed}}} does not fit length {length} "
                f"(needs 2·{self.num_pairs} + {self._fixed} = "
                f"{2 * self.num_pairs + self._fixed}); lower the gap or raise length"
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
        pairs, values_from = self.num_pairs, self.vocab_size // 2
        keys = distinct(source, "keys", pairs, values_from - 1) + 1
        values = distinct(source, "values", pairs, values_from) + values_from
        zone_slots = length // 2 - pairs
        slots, order = self._slots(source, zone_slots).sort(dim=1)
        positions = 2 * (pairs + slots)

        tokens = torch.zeros(count, length, dtype=torch.int64, device=device)
        tokens[:, 0 : 2 * pairs : 2] = keys
        tokens[:, 1 : 2 * pairs : 2] = values
        if self.random_filler:
            tokens[:, 2 * pairs :] = source.integers("filler", 2 * zone_slots, self.vocab_size)
        tokens.scatter_(1, positions, keys.gather(1, order))
        return Batch(
            tokens=tokens,
            positions=positions,
            answers=values.gather(1, order),
            mask=torch.ones_like(positions, dtype=torch.bool),
            distances=positions - 2 * order,
        )

    def _slots(self, source: RandomBits, slots: int) -> Tensor:
        """The slot of each key's query [B, num_pairs]."""
        pairs = self.num_pairs
        if self._fixed is not None:
            first = self._fixed // 2 - pairs
            return torch.arange(first, first + pairs, device=source.device).expand(source.count, -1)
        if self.gap == "uniform":
            return distinct(source, "slots", pairs, slots)
        if self.gap == "far":
            return distinct(source, "slots", pairs, pairs) + (slots - pairs)
        return power_law_order(source, "slots", pairs, slots, self.power_a)

    def chance(self, length: int) -> float:  # noqa: ARG002
        """Guessing among all values."""
        return 2 / self.vocab_size

    def floors(self, length: int) -> dict[str, float]:  # noqa: ARG002
        """value set: a guess among the values in the context, which are known but not bound."""
        return {"value set": 1 / self.num_pairs}
