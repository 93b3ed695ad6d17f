"""How tuning went: the value of each trial, and the best so far."""

from functools import partial

import numpy as np
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section
from lengthwise.harness.report.style import COLOURS, INK, MUTED, LineStyle
from lengthwise.harness.report.tuned_numbers import objective_axis
from lengthwise.harness.report.tuning import Tuned
from lengthwise.harness.tune.objective import Objective
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

ORDER = 6
TITLE = "Tuning history"
SOLID = (0, ())
TRIAL = LineStyle(COLOURS[0], "o", (0, (0, 1)), 0)
BEST = LineStyle(INK, "", SOLID)
BASE = LineStyle(MUTED, "", (0, (1, 2)))
LOST = LineStyle(COLOURS[1], "X", (0, (0, 1)), 0)


def build(results: Results) -> Section | None:
    tuning = results.tuning
    if tuning is None or not any(each.finished for each in tuning.architectures):
        return None
    charts = [
        Chart(
            name=f"tuning-history-{objective.name.replace('_', '-')}",
            caption=(
                f"{objective.label[0].upper()}{objective.label[1:]} on validation examples of each "
                "trial in the order asked for, and the best so far. Crosses at the foot: trials "
                "that were pruned, diverged or broke, which have no value."
            ),
            panels=[
                Panel(each.architecture, partial(_draw, tuned=each, index=n, objective=objective))
                for each in tuning.architectures
            ],
            legend={
                "a trial": TRIAL,
                "best so far": BEST,
                "default setting": BASE,
                "no value": LOST,
            },
        )
        for n, objective in enumerate(tuning.objectives)
    ]
    return Section(charts=charts)


def _draw(axes: Axes, tuned: Tuned, index: int, objective: Objective) -> None:
    numbers = {trial.number: place for place, trial in enumerate(tuned.trials, start=1)}
    x = [numbers[trial.number] for trial in tuned.finished]
    y = [trial.values[index] for trial in tuned.finished]
    best = np.maximum if objective.direction == "maximize" else np.minimum
    axes.plot(x, y, "o", color=TRIAL.colour, markersize=3, alpha=0.75, clip_on=False, zorder=3)
    if y:
        axes.step(
            [*x, len(tuned.trials)],
            [*best.accumulate(y), best.reduce(y)],
            where="post",
            color=BEST.colour,
            linewidth=1,
        )
    if tuned.default_trial:
        value = tuned.default_trial.values[index]
        axes.axhline(value, color=BASE.colour, linestyle=BASE.dashes, linewidth=1)
    objective_axis(axes, "y", objective)
    lost = [numbers[trial.number] for trial in tuned.trials if not trial.values]
    axes.plot(
        lost,
        [0.02] * len(lost),
        "X",
        color=LOST.colour,
        markersize=3.4,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=3,
    )
    axes.set_xlim(0.5, len(tuned.trials) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("trial")
