"""Capability versus width: what more channels buy, at the trained length."""

from functools import partial

import numpy as np
import pandas as pd
from lengthwise.harness.report.axes import accuracy_axis, length_axis
from lengthwise.harness.report.curves import Curve, by_task, curves
from lengthwise.harness.report.lines import dodge, draw_line
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, table
from lengthwise.harness.report.style import CHANCE, FLOOR, line_styles
from lengthwise.harness.report.styling import Styles
from lengthwise.harness.report.units import count, share
from lengthwise.harness.report.wording import coverage
from matplotlib.axes import Axes

ORDER = 45
TITLE = "Capability versus width"

Line = tuple[str, str]
"""Architecture, and variant without the width."""


def build(results: Results) -> Section | None:
    planned = curves(results)
    measured = tuple(curve for curve in planned if curve.at(curve.trained_length) is not None)
    if len({curve.width for curve in measured}) < 2:
        return None
    styles = line_styles([_line(curve) for curve in planned])
    lines = dict.fromkeys(_line(curve) for curve in measured)
    floors = dict.fromkeys(name for curve in measured for name in curve.floors)
    chart = Chart(
        name="capability-versus-width",
        caption=(
            "Accuracy on the answers of test examples, as long as those trained on, against the "
            "model's width. Each point has the setting that was best on validation examples at "
            "that width. Lines, bars and chance as in capability versus length. "
            f"{'Dashed: what knowing only part of an answer gives. ' if floors else ''}"
            f"{coverage(planned, {curve.key: _seeds(curve) for curve in measured})}"
        ),
        panels=[
            Panel(task, partial(_draw, curves=of_task, styles=styles))
            for task, of_task in by_task(measured).items()
        ],
        legend={
            **{", ".join(part for part in line if part): styles[line] for line in lines},
            **{f"floor: {name}": FLOOR for name in floors},
            "chance": CHANCE,
        },
    )
    numbers = table(
        "capability-versus-width",
        "Every point of the figure, with the setting chosen for it.",
        pd.DataFrame([_row(curve, list(floors)) for curve in measured]),
        {
            "width": count,
            "length": count,
            **dict.fromkeys(("accuracy", "low", "high", "chance", *floors), share),
        },
        folded=True,
    )
    return Section(charts=[chart], tables=[numbers])


def _line(curve: Curve) -> Line:
    """What a line keeps while the width varies.

    A width that was swept is part of the variant, by its shortest name.
    """
    named = {f"width={curve.width}", f"model.width={curve.width}"}
    return curve.architecture, ", ".join(
        part for part in curve.variant.split(", ") if part not in named
    )


def _index(curve: Curve) -> int:
    """Of the trained length, where it was measured."""
    index = curve.at(curve.trained_length)
    assert index is not None
    return index


def _seeds(curve: Curve) -> int:
    return int(curve.seeds_at[_index(curve)])


def _draw(axes: Axes, curves: list[Curve], styles: Styles) -> None:
    lines = list(dict.fromkeys(_line(curve) for curve in curves))
    for index, line in enumerate(lines):
        points = sorted((c for c in curves if _line(c) == line), key=lambda curve: curve.width)
        draw_line(
            axes,
            np.array([float(curve.width) for curve in points]),
            np.empty((0, len(points))),
            np.array([curve.mean[_index(curve)] for curve in points]),
            (
                np.array([curve.low[_index(curve)] for curve in points]),
                np.array([curve.high[_index(curve)] for curve in points]),
            ),
            styles[line],
            dodge(index, len(lines)),
        )
    for value in {value for curve in curves for value in curve.floors.values()}:
        axes.axhline(value, zorder=1, **FLOOR.drawn)
    for value in {float(curve.chance[_index(curve)]) for curve in curves}:
        axes.axhline(value, zorder=1, **CHANCE.drawn)
    accuracy_axis(axes)
    length_axis(axes, {curve.width for curve in curves}, "model width (channels)")


def _row(curve: Curve, floors: list[str]) -> dict[str, object]:
    index = _index(curve)
    architecture, variant = _line(curve)
    return {
        "task": curve.task,
        "architecture": architecture,
        "variant": variant,
        "width": curve.width,
        "setting": curve.setting,
        "length": curve.trained_length,
        "accuracy": curve.mean[index],
        "low": curve.low[index],
        "high": curve.high[index],
        "chance": curve.chance[index],
        **{name: curve.floors.get(name, np.nan) for name in floors},
        "seeds": _seeds(curve),
        "planned seeds": curve.planned,
    }
