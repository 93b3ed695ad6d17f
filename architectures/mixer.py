"""What every sequence mixer and every channel mixer is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

State = tuple[Tensor, ...]
"""What a mixer carries from one piece of a sequence to the next; the batch is dimension 0."""


class Mixer(nn.Module, ABC):
    """Moves information between the tokens of a sequence.

    One law: any cut of a sequence gives the same output, the state carried across the cut. Training
    is one call over the whole sequence; chunked prefill, streaming and one-token decoding are the
    same call on shorter pieces.

    Subclasses take the width first and their own options by keyword:
    `__init__(self, width: int, *, heads: int = 2, …)`. The options' types are checked and their
    docstrings shown wherever people name the mixer in YAML.
    """

    undecayed: ClassVar[tuple[str, ...]] = ()
    """Names of own parameters of two or more dimensions that weight decay must leave alone."""

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Mixes x [B, T, D] after the tokens that the state has seen.

        Returns:
            The output [B, T, D], and the state after the last token.
        """

    @abstractmethod
    def state_bytes(self, length: int) -> int:
        """Bytes that decoding one sequence must carry after `length` tokens, in float32."""

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, State]:
        return super().__call__(*args, **kwargs)


class ChannelMixer(nn.Module, ABC):
    """Mixes the channels of each token on its own: [..., D] → [..., D].

    Subclasses take the width first and their own options by keyword.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Maps x [..., D] to [..., D]."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(*args, **kwargs)
