"""Time of the forward pass against length, each contender as far as it goes in a minute."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lengthwise.harness.bench.kernels.contenders import (
    backend,
    chosen,
    forward,
    softmax_attention,
)
from lengthwise.harness.bench.kernels.problems import HEAD_DECAY, NO_DECAY, Problem, Shape
from lengthwise.harness.bench.kernels.timing import affordable, once, turn
from lengthwise.harness.statistics import PowerLaw, power_law, upper_half

SHORTEST, LONGEST = 64, 2**20
LIMIT_SECONDS = 60.0
SOFTMAX = "softmax attention"
_SOFTMAX_INPUTS = ("gated_linear_attention", NO_DECAY)
"""Whose queries, keys and values softmax attention takes."""
VARIANTS = {"gated_delta_rule": HEAD_DECAY, "gated_linear_attention": HEAD_DECAY}


@dataclass(frozen=True)
class Sizes:
    """All but the length; one sequence."""

    heads: int = 2
    head_size: int = 64
    channels: int = 128
    state_size: int = 16
    width: int = 4

    def shape(self, operator: str, length: int) -> Shape:
        """Of a problem, in the order that the operator's definition gives."""
        last = {
            "selective_scan": (self.channels, self.state_size),
            "causal_conv1d": (self.channels, self.width),
        }
        return (1, length, *last.get(operator, (self.heads, self.head_size)))

    def __str__(self) -> str:
        return (
            f"one sequence, {self.heads} heads of {self.head_size}; {self.channels} channels, "
            f"{self.state_size} states a channel in the scan, {self.width} taps in the convolution"
        )


@dataclass(frozen=True)
class Line:
    """One contender's times, the shortest length first."""

    operator: str
    who: tuple[str, ...] = ()
    """The backends that computed it, in the order of first use."""
    lengths: tuple[int, ...] = ()
    """Tokens."""
    seconds: tuple[float, ...] = ()
    stopped: float | None = None
    """Seconds that the next length was predicted to take, where that was too many."""

    @property
    def label(self) -> str:
        """The operator and who computed it."""
        return f"{self.operator} ({', '.join(self.who)})"


def sweep(
    operators: Sequence[str],
    lengths: Sequence[int],
    repeats: int,
    tick: Callable[[str], None],
    sizes: Sizes = Sizes(),
    limit: float = LIMIT_SECONDS,
) -> list[Line]:
    """A line an operator, and causal softmax attention last.

    Args:
        operators: ours, by name.
        lengths: tokens, ascending.
        repeats: turns whose median is a point, fewer where a call is long.
        tick: called before every point with what it is.
        sizes: of everything but the length.
        limit: seconds; a line ends where its next length is predicted to take longer.
    """
    lines = {name: Line(name) for name in (*operators, SOFTMAX)}
    for length in lengths:
        for name, line in lines.items():
            tick(f"{name}, {length:,} tokens")
            if line.stopped is not None:
                continue
            expected = predicted(line, length)
            if expected > limit:
                lines[name] = replace(line, stopped=expected)
            else:
                lines[name] = _extended(line, length, repeats, sizes)
    return list(lines.values())


def predicted(line: Line, length: int) -> float:
    """Seconds at a length from the power law through the last two points; 0 for fewer points.

    Its exponent counts as 2 where it is larger: nobody here grows faster than the square, and a
    point that something else on the machine disturbed must not end a line.

    >>> predicted(Line("", (), (64, 128), (1.0, 4.0)), 256)
    16.0
    """
    if len(line.lengths) < 2:
        return 0.0
    (x0, x1), (y0, y1) = line.lengths[-2:], line.seconds[-2:]
    exponent = min(2.0, math.log(y1 / y0) / math.log(x1 / x0))
    return y1 * (length / x1) ** exponent


def fitted(line: Line) -> PowerLaw:
    """The growth of the time over the upper half of the lengths."""
    upper = upper_half(line.lengths)
    return power_law(line.lengths[upper], line.seconds[upper])


def stops(lines: Sequence[Line]) -> list[str]:
    """Where a line ends before the others, and why, a sentence each."""
    return [
        f"{line.label} stops at {line.lengths[-1]:,} tokens: the next length would take about "
        f"{line.stopped:,.0f} s."
        for line in lines
        if line.stopped is not None
    ]


def _extended(line: Line, length: int, repeats: int, sizes: Sizes) -> Line:
    if line.operator == SOFTMAX:
        inputs = Problem(*_SOFTMAX_INPUTS, sizes.shape(line.operator, length)).inputs()
        contender = softmax_attention(inputs)
        names, first = {contender.who}, once(forward(contender))
    else:
        variant = VARIANTS.get(line.operator, "")
        problem = Problem(line.operator, variant, sizes.shape(line.operator, length))
        contender = backend(problem, problem.inputs())
        spent: list[float] = []
        names = chosen(problem, lambda: spent.append(once(forward(contender))))
        first = spent[0]
    call = forward(contender)
    times = affordable(first, repeats)
    typical = first if times == 1 else statistics.median(turn(call) for _ in range(times))
    return replace(
        line,
        who=tuple(dict.fromkeys((*line.who, *names))),
        lengths=(*line.lengths, length),
        seconds=(*line.seconds, typical),
    )
