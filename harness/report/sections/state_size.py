"""Capability versus state size: what the bytes carried by decoding buy."""

from functools import partial

import pandas as pd
from lengthwise.harness.report.axes import accuracy_axis, bytes_axis
from lengthwise.harness.report.curves import Curve, by_task, measured_curves
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, table
from lengthwise.harness.report.style import MUTED, PAPER
from lengthwise.harness.report.styling import Styles, legend_of, styles_of
from lengthwise.harness.report.units import count, share, size
from lengthwise.harness.report.wording import coverage
from matplotlib.axes import Axes

ORDER = 40
TITLE = "Capability versus state size"


def build(results: Results) -> Section | None:
    lines = tuple(curve for curve in measured_curves(results) if _points(curve))
    if not lines:
        return None
    styles = styles_of(results)
    chart = Chart(
        name="capability-versus-state-size",
        caption=(
            "Mean accuracy against the bytes that decoding carries. Filled: at the trained "
            "length; open: at the longest length evaluated; the line goes through the lengths "
            "between them, upright where the state does not grow. "
            f"Whiskers: the 95 % interval. {coverage(lines)}"
        ),
        panels=[
            Panel(task, partial(_draw, curves=of_task, styles=styles))
            for task, of_task in by_task(lines).items()
        ],
        legend=legend_of(lines, styles),
    )
    rows = [
        {
            "task": curve.task,
            "architecture": curve.architecture,
            "variant": curve.variant,
            "length": int(curve.lengths[index]),
            "state_bytes": curve.state_bytes[index],
            "accuracy": curve.mean[index],
            "low": curve.low[index],
            "high": curve.high[index],
        }
        for curve in lines
        for index in _points(curve)
    ]
    formats = {
        "length": count,
        "state_bytes": size,
        **dict.fromkeys(("accuracy", "low", "high"), share),
    }
    numbers = table(
        "capability-versus-state-size",
        "Every point of the figure.",
        pd.DataFrame(rows),
        formats,
        folded=True,
    )
    return Section(charts=[chart], tables=[numbers])


def _points(curve: Curve) -> list[int]:
    """The indices of the trained and of the longest length, those with a state."""
    trained, longest = curve.at(curve.trained_length), len(curve.lengths) - 1
    wanted = [longest] if trained is None else sorted({trained, longest})
    return [index for index in wanted if curve.state_bytes[index] > 0]


def _draw(axes: Axes, curves: list[Curve], styles: Styles) -> None:
    for curve in reversed(curves):
        style = styles[curve.architecture, curve.variant]
        points = _points(curve)
        x, y = curve.state_bytes[points], curve.mean[points]
        between = slice(points[0], points[-1] + 1)
        axes.vlines(
            x, curve.low[points], curve.high[points], color=style.colour, alpha=0.45, linewidth=0.8
        )
        axes.plot(
            curve.state_bytes[between],
            curve.mean[between],
            color=style.colour,
            linestyle=style.dashes,
            linewidth=0.9,
        )
        for index, state, accuracy in zip(points, x, y, strict=True):
            filled = curve.lengths[index] == curve.trained_length
            axes.plot(
                state,
                accuracy,
                marker=style.marker,
                color=style.colour,
                markerfacecolor=style.colour if filled else PAPER,
                markersize=5,
                clip_on=False,
                zorder=3,
            )
    accuracy_axis(axes)
    amounts = [curve.state_bytes[index] for curve in curves for index in _points(curve)]
    bytes_axis(axes, "x", amounts, "state carried by decoding")
    axes.annotate(
        "filled: trained length · open: longest",
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=6,
        color=MUTED,
    )
