"""What is computed: each operator at a shape, its random inputs, and its useful operations.

Operations are counted on the recurrence that defines an operator, whoever computes it and however:
a multiplication, an addition, an exponential count 1 each, per token. Of the backward pass, what
the chain rule needs when every state is at hand counts; computing states again does not, nor does
anything that a chunked form does besides. With a state of K × V a head:

| gated delta rule | forward | backward |
|---|---|---|
| decay of the state | 1 | 3: its own gradient 2, the state's 1 |
| what the state holds under k | 2 | 4: the state's gradient and k's |
| writing k uᵀ | 2 | 4: u's gradient and k's |
| reading with q | 2 | 4: q's gradient and the state's |

That is 7·K·V forward and 15·K·V backward, 22 together; without decay 6 and 12. Gated linear
attention lacks the second line: 5 and 11; without decay 4 and 8. The selective scan with N states a
channel takes 7·N + 3 forward and 15·N + 7 backward a channel (δA, its exponential, h decayed, δxB
added 2, C·h 2; δx and D x 3), a convolution over W tokens 2·W + 1 and 4·W + 1. Causal softmax
attention is counted by its matrix products below the diagonal: a query and a key take 2·(K + V)
forward and twice that backward; the exponential and computing scores again do not count.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

Shape = tuple[int, ...]
Inputs = dict[str, Tensor]
NO_DECAY, HEAD_DECAY, CHANNEL_DECAY = "no decay", "decay per head", "decay per key channel"


@dataclass(frozen=True)
class Operations:
    """Useful floating-point operations of one call."""

    forward: int
    backward: int

    @property
    def both(self) -> int:
        return self.forward + self.backward

    def times(self, number: int) -> "Operations":
        return Operations(number * self.forward, number * self.backward)


@dataclass(frozen=True)
class Problem:
    """An operator, its variant ("" where it has none) and a shape."""

    operator: str
    variant: str
    shape: Shape

    @property
    def dimensions(self) -> str:
        """What the numbers of the shape are."""
        return DEFINITIONS[self.operator].dimensions

    @property
    def operations(self) -> Operations:
        return DEFINITIONS[self.operator].operations(self.variant, *self.shape)

    def inputs(self) -> Inputs:
        """The operator's float32 arguments, the same at each call."""
        return DEFINITIONS[self.operator].inputs(self.variant, *self.shape)

    def state(self) -> Tensor:
        """A state to start from, as after some tokens."""
        return _draws()(*DEFINITIONS[self.operator].state(*self.shape))


@dataclass(frozen=True)
class Definition:
    """What the benchmark knows of an operator; a shape's numbers are passed one by one."""

    dimensions: str
    variants: tuple[str, ...]
    inputs: Callable[..., Inputs]
    operations: Callable[..., Operations]
    state: Callable[..., Shape]


def softmax_operations(batch: int, length: int, heads: int, size: int) -> Operations:
    """Of causal softmax attention with keys and values of one size.

    >>> softmax_operations(1, 2, 1, 1)
    Operations(forward=12, backward=24)
    """
    pairs = batch * heads * length * (length + 1) // 2
    return Operations(4 * size, 8 * size).times(pairs)


def _draws() -> Callable[..., Tensor]:
    """Normal draws of the shapes asked for, from one seed."""
    return partial(torch.randn, generator=torch.Generator().manual_seed(0))


def _delta_inputs(_: str, batch: int, length: int, heads: int, size: int) -> Inputs:
    draw, shape = _draws(), (batch, length, heads, size)
    return {
        "q": draw(*shape),
        "k": F.normalize(draw(*shape), dim=-1),
        "v": draw(*shape),
        "beta": draw(*shape[:3]).sigmoid(),
        "log_decay": F.logsigmoid(draw(*shape[:3]) + 4),
    }


def _delta_operations(_: str, batch: int, length: int, heads: int, size: int) -> Operations:
    return Operations(7 * size * size, 15 * size * size).times(batch * length * heads)


def _linear_inputs(variant: str, batch: int, length: int, heads: int, size: int) -> Inputs:
    draw, shape = _draws(), (batch, length, heads, size)
    inputs = {name: draw(*shape) for name in ("q", "k", "v")}
    if variant == NO_DECAY:
        return inputs
    decays = shape if variant == CHANNEL_DECAY else shape[:3]
    return inputs | {"log_decay": F.logsigmoid(draw(*decays) + 4)}


def _linear_operations(variant: str, batch: int, length: int, heads: int, size: int) -> Operations:
    forward, backward = (4, 8) if variant == NO_DECAY else (5, 11)
    return Operations(forward, backward).times(batch * length * heads * size * size)


def _scan_inputs(_: str, batch: int, length: int, channels: int, states: int) -> Inputs:
    draw = _draws()
    return {
        "x": draw(batch, length, channels),
        "delta": F.softplus(draw(batch, length, channels) - 4),
        "A": -torch.arange(1.0, states + 1).repeat(channels, 1),
        "B": draw(batch, length, states),
        "C": draw(batch, length, states),
        "D": draw(channels),
    }


def _scan_operations(_: str, batch: int, length: int, channels: int, states: int) -> Operations:
    return Operations(7 * states + 3, 15 * states + 7).times(batch * length * channels)


def _convolution_inputs(_: str, batch: int, length: int, channels: int, width: int) -> Inputs:
    draw = _draws()
    return {
        "x": draw(batch, length, channels),
        "weight": draw(channels, width),
        "bias": draw(channels),
    }


def _convolution_operations(
    _: str, batch: int, length: int, channels: int, width: int
) -> Operations:
    return Operations(2 * width + 1, 4 * width + 1).times(batch * length * channels)


def _matrix_state(batch: int, _: int, heads: int, size: int) -> Shape:
    return batch, heads, size, size


DEFINITIONS = {
    "gated_delta_rule": Definition(
        "B, T, H, D", (HEAD_DECAY,), _delta_inputs, _delta_operations, _matrix_state
    ),
    "gated_linear_attention": Definition(
        "B, T, H, D",
        (NO_DECAY, HEAD_DECAY, CHANNEL_DECAY),
        _linear_inputs,
        _linear_operations,
        _matrix_state,
    ),
    "selective_scan": Definition(
        "B, T, channels, N",
        ("",),
        _scan_inputs,
        _scan_operations,
        lambda batch, _, channels, states: (batch, channels, states),
    ),
    "causal_conv1d": Definition(
        "B, T, channels, W",
        ("",),
        _convolution_inputs,
        _convolution_operations,
        lambda batch, _, channels, width: (batch, channels, width - 1),
    ),
}


def problems(operator: str, shapes: Iterable[Shape]) -> list[Problem]:
    """Every variant of an operator at every shape."""
    variants = DEFINITIONS[operator].variants
    return [Problem(operator, variant, shape) for shape in shapes for variant in variants]
