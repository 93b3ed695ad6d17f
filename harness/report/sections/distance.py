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
from lengthwise.harness.report.lines import dodge, draw_line
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, table
from lengthwise.harness.report.selection import LINE, chosen_runs
from lengthwise.harness.report.style import CHANCE
from lengthwise.harness.report.styling import Styles, legend_of, styles_of
from lengthwise.harness.report.units import count, share
from lengthwise.harness.report.wording import coverage
from matplotlib.axes import Axes
from numpy.typing import NDArray

ORDER = 50
TITLE = "Capability versus distance"


@dataclass(frozen=True)
class Profile:
    """Accuracy by bin of distance at one length, of S seeds in N bins; [N] unless said."""

    length: int
    edges: NDArray[np.int64]
    """Lower edges, in tokens."""
    ends: NDArray[np.int64]
    by_seed: Floats
    """[S, N]; NaN where a seed had no answer in a bin."""
    low: Floats
    high: Floats
    answers: NDArray[np.int64]

    @property
    def mean(self) -> Floats:
        return np.nanmean(self.by_seed, axis=0)


def build(results: Results) -> Section | None:
    profiles = _profiles(results)
    measured = measured_curves(results)
    panels = {
        task: [curve for curve in of_task if curve.key in profiles]
        for task, of_task in by_task(measured).items()
    }
    panels = {task: of_task for task, of_task in panels.items() if _several(of_task, profiles)}
    lines = tuple(curve for of_task in panels.values() for curve in of_task)
    # A line that was not evaluated at the longest length is not drawn; the caption says so.
    asked = [curve for curve in measured if curve.task in panels]
    if not lines:
        return None
    styles = styles_of(results)
    chart = Chart(
        name="capability-versus-distance",
        caption=(
            "Accuracy at the longest length evaluated, by the distance between where a fact is "
            "written and where it is needed, in bins of powers of two; each marker stands in the "
            "middle of its bin. Lines and chance as in capability versus length; the 95 % "
            "intervals stand in the table. "
            f"{coverage(asked, {key: len(found.by_seed) for key, found in profiles.items()})}"
        ),
        panels=[
            Panel(task, partial(_draw, curves=of_task, profiles=profiles, styles=styles))
            for task, of_task in panels.items()
        ],
        legend={**legend_of(lines, styles), "chance": CHANCE},
    )
    numbers = table(
        "capability-versus-distance",
        "Every point of the figure; distances from “from” up to, not including, “to”.",
        pd.DataFrame([row for curve in lines for row in _rows(curve, profiles[curve.key])]),
        {
            **dict.fromkeys(("length", "from", "to", "answers"), count),
            **dict.fromkeys(("accuracy", "low", "high"), share),
        },
        folded=True,
    )
    return Section(charts=[chart], tables=[numbers])


def _several(lines: list[Curve], profiles: Mapping[tuple[str, str, str], Profile]) -> bool:
    """Whether a task has more than one bin of distance at all."""
    return len({int(edge) for curve in lines for edge in profiles[curve.key].edges}) > 1


def _profiles(results: Results) -> dict[tuple[str, str, str], Profile]:
    runs = chosen_runs(results.runs)
    there = results.distances.loc[results.distances["answers"] > 0]
    rows = there.merge(runs[["run", *LINE]], on="run")
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
        by_seed=correct / answers,
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
    for index, curve in enumerate(curves):
        style, profile = styles[curve.architecture, curve.variant], profiles[curve.key]
        # A bin that starts at 0 has no middle on a log axis; half a token stands for its edge.
        middle = np.sqrt(np.maximum(profile.edges, 0.5) * profile.ends)
        aside = dodge(index, len(curves))
        # The bars of so many bins would hide the seeds; the table has them.
        draw_line(axes, middle, profile.by_seed, profile.mean, None, style, aside)
    # The task's own chance, at the length that the figure is of.
    first = curves[0]
    chance = float(first.chance[first.lengths == profiles[first.key].length][0])
    axes.axhline(chance, zorder=1, **CHANCE.drawn)
    accuracy_axis(axes)
    edges = {
        max(1, int(edge))
        for curve in curves
        for edge in (*profiles[curve.key].edges, *profiles[curve.key].ends)
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
