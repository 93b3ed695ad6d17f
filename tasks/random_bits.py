"""Random bits that depend on their address alone: seed, stream, split, example and counter."""

import hashlib
from dataclasses import dataclass

import torch
from lengthwise.tasks.task import Split
from torch import Tensor

SPLITS: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
EXAMPLES = 2**40
"""Examples of a split."""
DRAWS = 2**22
"""64-bit draws of one example in one stream; 2 bits of split fill the 64 of an address."""


def _signed(constant: int) -> int:
    """The int64 with the bits of an unsigned 64-bit constant."""
    return constant - 2**64 if constant >= 2**63 else constant


GOLDEN = _signed(0x9E3779B97F4A7C15)
FIRST = _signed(0xBF58476D1CE4E5B9)
SECOND = _signed(0x94D049BB133111EB)


@dataclass(frozen=True)
class RandomBits:
    """The random bits of examples start … start + count − 1 of a split.

    A draw is a keyed bijection of its 64-bit address (example, split, counter); the key is a hash
    of the seed and the stream's name. So no two draws of one seed's stream are ever equal: splits
    and examples are disjoint by construction, and other seeds and streams permute the addresses
    in other ways. Only integer operations are used: every device gives the same bits.

    Args:
        seed: any integer.
        split: train, validation or test.
        start: index of the first example.
        count: number of examples B.
        device: where the bits are made.

    Raises:
        ValueError: an unknown split, or examples outside 0 … 2^40 − 1.

    Source: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) with the constants of Stafford's mixer 13;
    the second half of the key, added between its two multiplications, is ours: with the first
    half alone one seed's bits would be another's at shifted addresses.

    >>> RandomBits(seed=0, split="train", start=7, count=2).integers("dice", 5, 6).tolist()
    [[3, 4, 3, 4, 0], [3, 0, 3, 2, 0]]
    """

    seed: int
    split: Split
    start: int
    count: int
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split: {self.split!r} is not one of {', '.join(SPLITS)}")
        if self.count < 0 or not 0 <= self.start <= EXAMPLES - self.count:
            raise ValueError(
                f"start: {self.start} with count: {self.count} leaves the examples 0 … 2^40 − 1"
            )

    def bits(self, stream: str, draws: int) -> Tensor:
        """64 random bits a draw [B, draws], int64; draw j is the same however many are asked for.

        Raises:
            ValueError: more than 2^22 draws.
        """
        if draws > DRAWS:
            raise ValueError(f"draws: {draws} is more than the {DRAWS} that an example has")
        digest = hashlib.blake2b(f"{self.seed}/{stream}".encode(), digest_size=16).digest()
        first_key = int.from_bytes(digest[:8], "little", signed=True)
        second_key = int.from_bytes(digest[8:], "little", signed=True)
        examples = torch.arange(self.start, self.start + self.count, device=self.device)
        addresses = (examples * 4 + SPLITS[self.split]) * DRAWS
        counters = torch.arange(draws, device=self.device)
        bits = (addresses * GOLDEN + first_key)[:, None] + counters * GOLDEN
        _fold(bits, 30).mul_(FIRST).add_(second_key)
        _fold(bits, 27).mul_(SECOND)
        return _fold(bits, 31)

    def integers(self, stream: str, draws: int, bound: int) -> Tensor:
        """Uniform integers 0 … bound − 1 [B, draws], int64, bound ≤ 2^31; prefixes as of `bits`.

        Each is ⌊u·bound / 2^32⌋ of a 32-bit u, two from one draw: a probability is off by less
        than 2^−32, and exact where bound is a power of two.
        """
        pairs = self.bits(stream, (draws + 1) // 2)
        halves = torch.empty(*pairs.shape, 2, dtype=torch.int64, device=self.device)
        halves[..., 0] = pairs
        halves[..., 1] = pairs >> 32
        integers = halves.flatten(1).bitwise_and_(2**32 - 1).mul_(bound).bitwise_right_shift_(32)
        return integers[:, :draws]


def _fold(bits: Tensor, shift: int) -> Tensor:
    """bits ^= bits >>> shift, in place; the mask makes the arithmetic shift a logical one."""
    return bits.bitwise_xor_((bits >> shift).bitwise_and_(2 ** (64 - shift) - 1))
