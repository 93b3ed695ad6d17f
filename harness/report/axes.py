"""The axes that figures share: lengths, bytes, seconds, accuracy, and the trained length's rule."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from lengthwise.harness.report.style import MUTED
from lengthwise.harness.report.units import seconds, size, tokens
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

Side = Literal["x", "y"]

LABELS_APART = 0.15
"""Least distance of two tick labels, as a share of the axis; "65536" in 6.5 pt still fits."""


def accuracy_axis(axes: Axes) -> None:
    """y from 0 to 1 in fifths, with room for the markers at both ends."""
    axes.set_ylim(-0.02, 1.04)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_ylabel("capability (accuracy)")


def length_axis(axes: Axes, lengths: Iterable[int], label: str = "context length (tokens)") -> None:
    """A log2 x axis whose ticks are the lengths themselves."""
    ticks = sorted({int(length) for length in lengths})
    axes.set_xscale("log", base=2)
    margin = 0.07 * max(1.0, math.log2(ticks[-1] / ticks[0]))
    axes.set_xlim(ticks[0] * 2**-margin, ticks[-1] * 2**margin)
    axes.xaxis.set_major_locator(FixedLocator([float(tick) for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, spaced_labels(ticks))
    axes.set_xlabel(label)


def spaced_labels(ticks: Sequence[int]) -> list[str]:
    """A label for both ends and every tick between that has room for one on a log axis.

    >>> spaced_labels([64, 80, 512, 900, 1024])
    ['64', '', '512', '', '1024']
    """
    span = math.log2(ticks[-1] / ticks[0]) or 1.0
    labels, last = [], -math.inf
    for tick in ticks:
        place = math.log2(tick / ticks[0]) / span
        roomy = place - last >= LABELS_APART and 1 - place >= LABELS_APART
        labels.append(tokens(tick) if roomy or tick == ticks[-1] else "")
        last = place if roomy else last
    return labels


def bytes_axis(axes: Axes, side: Side, amounts: Iterable[float], label: str) -> None:
    """A log axis in binary units, at most five ticks, each a power of two."""
    values = [amount for amount in amounts if amount > 0]
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    low, high = (low - 1, high + 1) if high - low < 2 else (low, high)
    step = max(1, math.ceil((high - low) / 4))
    ticks = [2.0**power for power in range(low, high + 1, step)]
    _log_axis(axes, side, 2, ticks, size, (2.0**low, 2.0**high), label)


def seconds_axis(axes: Axes, side: Side, durations: Iterable[float], label: str) -> None:
    """A log axis in readable units: at most six decades, 2 and 5 between them where few."""
    values = [duration for duration in durations if duration > 0]
    low, high = min(values) / 1.3, max(values) * 1.3
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(lowest, highest + 1, max(1, math.ceil((highest - lowest) / 6)))
    between = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [
        factor * 10.0**decade
        for decade in decades
        for factor in between
        if low <= factor * 10.0**decade <= high
    ]
    _log_axis(axes, side, 10, ticks, _decade, (low, high), label)


def mark_trained(axes: Axes, trained: Iterable[int]) -> None:
    """A vertical rule at each trained length, named above the plot."""
    left, right = axes.get_xlim()
    middle = math.sqrt(left * right)
    for length in sorted(set(trained)):
        axes.axvline(length, color=MUTED, linewidth=0.8, zorder=1)
        axes.annotate(
            f"trained at {tokens(length)}",
            (length, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2 if length < middle else 2, 4),
            textcoords="offset points",
            ha="left" if length < middle else "right",
            fontsize=6,
            color=MUTED,
        )


def _decade(duration: float) -> str:
    """Seconds stay seconds on an axis: 1000 s stands in line with 100 s, 16.7 min does not."""
    return seconds(duration) if duration < 100 else f"{duration:g} s"


def _log_axis(
    axes: Axes,
    side: Side,
    base: int,
    ticks: Sequence[float],
    write: Callable[[float], str],
    limits: tuple[float, float],
    label: str,
) -> None:
    low, high = limits
    room = (high / low) ** 0.04
    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xscale if side == "x" else axes.set_yscale)("log", base=base)
    (axes.set_xlim if side == "x" else axes.set_ylim)(low / room, high * room)
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_label_text(label)
