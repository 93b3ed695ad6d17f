"""Capability versus length: one panel a task, one line an architecture, chance."""

from functools import partial

import numpy as np
import pandas as pd
from lengthwise.harness.report.axes import accuracy_axis, length_axis, mark_trained
from lengthwise.harness.report.curves import Curve, by_task, measured_curves
from lengthwise.harness.report.lines import dodge, draw_line
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, table
from lengthwise.harness.report.style import CHANCE
from lengthwise.harness.report.styling import Styles, legend_of, styles_of
from lengthwise.harness.report.units import count, share
from lengthwise.harness.report.wording import coverage
from lengthwise.harness.statistics import normalised
from matplotlib.axes import Axes

ORDER = 10
TITLE = "Capability versus length"


def build(results: Results) -> Section | None:
    lines = measured_curves(results)
    if not lines:
        return None
    styles = styles_of(results)
    chart = Chart(
        name="capability-versus-length",
        caption=(
            "Accuracy on the answers of test examples against context length. Markers and thick "
            "lines: mean over seeds. Thin lines: each seed. Bars: 95 % interval of the mean, at "
            "each end the wider of the exact binomial interval of all answers and the t interval "
            "over seeds. Dotted: chance. Vertical rule: the length trained at. Architectures "
            "stand slightly apart, so that equal values do not hide each other. "
            f"{coverage(lines)}"
        ),
        panels=[
            Panel(task, partial(_draw, curves=of_task, styles=styles))
            for task, of_task in by_task(lines).items()
        ],
        legend={**legend_of(lines, styles), "chance": CHANCE},
    )
    numbers = table(
        "capability-versus-length",
        "Every point of the figure. Normalised capability is (accuracy − chance)/(1 − chance); "
        "exact is the share of examples with every answer right.",
        pd.DataFrame([row for curve in lines for row in _rows(curve)]),
        {
            "length": count,
            **dict.fromkeys(
                ("accuracy", "low", "high", "chance", "normalised", "exact"),
                share,
            ),
        },
        folded=True,
    )
    return Section(charts=[chart], tables=[numbers])


def _draw(axes: Axes, curves: list[Curve], styles: Styles) -> None:
    for index, curve in enumerate(curves):
        draw_line(
            axes,
            curve.lengths.astype(float),
            curve.by_seed,
            curve.mean,
            (curve.low, curve.high),
            styles[curve.architecture, curve.variant],
            dodge(index, len(curves)),
        )
    at_chance = {
        int(length): float(chance)
        for curve in curves
        for length, chance in zip(curve.lengths, curve.chance, strict=True)
    }
    chance = sorted(at_chance.items())
    axes.plot(*np.array(chance).T, zorder=1, **CHANCE.drawn)
    accuracy_axis(axes)
    trained = {curve.trained_length for curve in curves}
    length_axis(axes, [*at_chance, *trained])
    mark_trained(axes, trained)


def _rows(curve: Curve) -> list[dict[str, object]]:
    above_chance = normalised(curve.mean, curve.chance)
    return [
        {
            "task": curve.task,
            "architecture": curve.architecture,
            "variant": curve.variant,
            "length": int(curve.lengths[index]),
            "accuracy": curve.mean[index],
            "low": curve.low[index],
            "high": curve.high[index],
            "chance": curve.chance[index],
            "normalised": above_chance[index],
            "exact": curve.exact[index],
            "seeds": int(curve.seeds_at[index]),
            "planned seeds": curve.planned,
        }
        for index in range(len(curve.lengths))
    ]
