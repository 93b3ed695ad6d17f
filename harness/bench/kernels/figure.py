"""The sweep as a figure: time of the forward pass, and its share of a token, against length."""

from collections.abc import Callable, Sequence
from functools import partial

from lengthwise.harness.bench.kernels.sweep import Line, fitted
from lengthwise.harness.report.axes import length_axis, seconds_axis
from lengthwise.harness.report.section import Chart, Panel
from lengthwise.harness.report.sections.cost import exponent
from lengthwise.harness.report.style import MUTED, LineStyle, line_styles
from matplotlib.axes import Axes

Measure = Callable[[Line], Sequence[float]]
Styled = Sequence[tuple[Line, LineStyle]]


def chart(lines: Sequence[Line], caption: str) -> Chart:
    """Two panels, all axes logarithmic, one legend with the fitted exponents."""
    styles = line_styles([(line.operator, "") for line in lines])
    styled = [(line, styles[line.operator, ""]) for line in lines]
    return Chart(
        name="forward-seconds-versus-length",
        caption=caption,
        panels=[
            Panel("Forward pass", partial(_draw, styled=styled, measure=_whole, label="time")),
            Panel(
                "Forward pass, per token",
                partial(_draw, styled=styled, measure=_per_token, label="time per token"),
            ),
        ],
        legend={f"{line.label}: length^{exponent(fitted(line))}": style for line, style in styled},
    )


def _whole(line: Line) -> Sequence[float]:
    return line.seconds


def _per_token(line: Line) -> Sequence[float]:
    return [spent / length for spent, length in zip(line.seconds, line.lengths, strict=True)]


def _draw(axes: Axes, styled: Styled, measure: Measure, label: str) -> None:
    for line, style in reversed(styled):  # ours over softmax attention
        axes.plot(line.lengths, measure(line), clip_on=False, **style.drawn)
        if line.stopped is not None:
            axes.annotate(
                f"stops: next ≈ {line.stopped:,.0f} s",
                (line.lengths[-1], measure(line)[-1]),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=6,
                color=MUTED,
            )
    length_axis(axes, (length for line, _ in styled for length in line.lengths))
    seconds_axis(axes, "y", [spent for line, _ in styled for spent in measure(line)], label)
