"""Capability versus distance: from where a fact is written to where it is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from lengthwise.harness.report.axes import accuracy_axis, length_axis
from lengthwise.harness.report.curves import (
    Curve,
    Floats,
    bands,
    by_task,
    counts_by_seed,
    measured_curves,
)
from lengthwise.harness.report.results import ENDED_WELL, Results
from lengthwise.harness.report.section import Chart, Panel, Section, table
from lengthwise.harness.report.selection import LINE, chosen_runs
from lengthwise.harness.report.style import band_opacity
from lengthwise.harness.report.styling import Styles, legend_of, styles_of
from lengthwise.harness.report.units import count, share
from lengthwise.harness.report.wording import coverage
from matplotlib.axes import Axes
from numpy.typing import NDArray

ORDER = 50
TITLE = "Capability versus distance"


@dataclass(frozen=True)
class Profile:
    """Accuracy by bin of distance at one length; [N] each."""

    length: int
    edges: NDArray[np.int64]
    """Lower edges, in tokens."""
    ends: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    answers: NDArray[np.int64]


def build(results: Results) -> Section | None:
    profiles = _profiles(results)
    panels = {
        task: [curve for curve in of_task if _key(curve) in profiles]
        for task, of_task in by_task(measured_curves(results)).items()
    }
    panels = {task: of_task for task, of_task in panels.items() if _several(of_task, profiles)}
    lines = tuple(curve for of_task in panels.values() for curve in of_task)
    if not lines:
        return None
    styles = styles_of(results)
    chart = Chart(
        name="capability-versus-distance",
        caption=(
            "Accuracy at the longest length evaluated, by the distance between where a fact is "
            "written and where it is needed, in bins of powers of two; each marker stands in the "
            f"middle of its bin. Line and band as above. {coverage(lines)}"
        ),
        panels=[
            Panel(task, partial(_draw, curves=of_task, profiles=profiles, styles=styles))
            for task, of_task in panels.items()
        ],
        legend=legend_of(lines, styles),
    )
    numbers = table(
        "capability-versus-distance",
        "Every point of the figure; distances from “from” up to, not including, “to”.",
        pd.DataFrame([row for curve in lines for row in _rows(curve, profiles[_key(curve)])]),
        {
            **dict.fromkeys(("length", "from", "to", "answers"), count),
            **dict.fromkeys(("accuracy", "low", "high"), share),
        },
        folded=True,
    )
    return Section(charts=[chart], tables=[numbers])


def _key(curve: Curve) -> tuple[str, str, str]:
    return curve.task, curve.architecture, curve.variant


def _several(lines: list[Curve], profiles: Mapping[tuple[str, str, str], Profile]) -> bool:
    """Whether a task has more than one bin of distance at all."""
    return len({int(edge) for curve in lines for edge in profiles[_key(curve)].edges}) > 1


def _profiles(results: Results) -> dict[tuple[str, str, str], Profile]:
    runs = chosen_runs(results.runs)
    ended_well = runs.loc[runs["status"].isin(ENDED_WELL), ["run", *LINE]]
    rows = results.distances.loc[results.distances["answers"] > 0].merge(ended_well, on="run")
    longest = rows.groupby("task")["length"].transform("max")
    at_longest = rows.loc[rows["length"] == longest].groupby(LINE, sort=False)
    return {
        (str(task), str(architecture), str(variant)): _profile(of_line)
        for (task, architecture, variant), of_line in at_longest  # pyright: ignore
    }


def _profile(rows: pd.DataFrame) -> Profile:
    correct, answers = (counts_by_seed(rows, name, "low") for name in ("correct", "answers"))
    low, high = bands(correct, answers)
    bins = rows.groupby("low").agg({"high": "max", "answers": "sum"})
    return Profile(
        length=int(rows["length"].iloc[0]),
        edges=bins.index.to_numpy(dtype=np.int64),
        ends=bins.loc[:, "high"].to_numpy(dtype=np.int64),
        mean=np.nanmean(correct / answers, axis=0),
        low=low,
        high=high,
        answers=bins.loc[:, "answers"].to_numpy(dtype=np.int64),
    )


def _draw(
    axes: Axes,
    curves: list[Curve],
    profiles: Mapping[tuple[str, str, str], Profile],
    styles: Styles,
) -> None:
    opacity = band_opacity(len(curves))
    for curve in reversed(curves):
        style, profile = styles[curve.architecture, curve.variant], profiles[_key(curve)]
        # A bin that starts at 0 has no middle on a log axis; half a token stands for its edge.
        middle = np.sqrt(np.maximum(profile.edges, 0.5) * profile.ends)
        axes.fill_between(
            middle, profile.low, profile.high, color=style.colour, alpha=opacity, linewidth=0
        )
        axes.plot(middle, profile.mean, clip_on=False, **style.drawn)
    accuracy_axis(axes)
    edges = {
        max(1, int(edge))
        for curve in curves
        for edge in (*profiles[_key(curve)].edges, *profiles[_key(curve)].ends)
    }
    length_axis(axes, edges, "distance (tokens)")


def _rows(curve: Curve, profile: Profile) -> list[dict[str, object]]:
    return [
        {
            "task": curve.task,
            "architecture": curve.architecture,
            "variant": curve.variant,
            "length": profile.length,
            "from": int(profile.edges[index]),
            "to": int(profile.ends[index]),
            "accuracy": profile.mean[index],
            "low": profile.low[index],
            "high": profile.high[index],
            "answers": int(profile.answers[index]),
        }
        for index in range(len(profile.edges))
    ]
