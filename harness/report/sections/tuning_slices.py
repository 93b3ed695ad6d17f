"""The objective against each parameter: where the good settings lie, and how wide they are."""

from functools import partial

from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section
from lengthwise.harness.report.style import COLOURS, INK, MUTED, PAPER, LineStyle
from lengthwise.harness.report.tuned_numbers import objective_axis
from lengthwise.harness.report.tuning import Tuned, short
from lengthwise.harness.tune.objective import Objective
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

ORDER = 8
TITLE = "Slices of the space"
TRIAL = LineStyle(COLOURS[0], "o", (0, (0, 1)), 0)
CHOSEN = LineStyle(COLOURS[1], "P", (0, (0, 1)), 0)
BASE = LineStyle(MUTED, "", (0, (1, 2)))


def build(results: Results) -> Section | None:
    tuning = results.tuning
    if tuning is None:
        return None
    known = [each for each in tuning.architectures if each.finished]
    panels = [
        Panel(
            each.architecture,
            partial(_draw, tuned=each, path=path, objective=tuning.objectives[0]),
        )
        for each in known
        for path in each.space
        if any(path in trial.setting for trial in each.finished)
    ]
    if not panels:
        return None
    chart = Chart(
        name="tuning-slices",
        caption=(
            f"{tuning.objectives[0].label[0].upper()}{tuning.objectives[0].label[1:]} on "
            "validation examples of every finished trial against each of its parameters. A flat "
            "cloud: the parameter hardly matters; a narrow peak: it must be tuned."
        ),
        panels=panels,
        legend={"a trial": TRIAL, "chosen": CHOSEN, "default": BASE},
    )
    return Section(charts=[chart])


def _draw(axes: Axes, tuned: Tuned, path: str, objective: Objective) -> None:
    space = tuned.space[path]
    choices = [str(each) for each in space["choice"]] if "choice" in space else None
    trials = [trial for trial in tuned.finished if path in trial.setting]

    def place(value: object) -> float:
        return float(choices.index(str(value))) if choices else float(str(value))

    axes.plot(
        [place(trial.setting[path]) for trial in trials],
        [trial.values[0] for trial in trials],
        "o",
        color=TRIAL.colour,
        markersize=3,
        alpha=0.75,
        clip_on=False,
        zorder=3,
    )
    if tuned.chosen and path in tuned.chosen.setting:
        axes.plot(
            place(tuned.chosen.setting[path]),
            tuned.chosen.values[0],
            CHOSEN.marker,
            color=CHOSEN.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            markersize=7,
            clip_on=False,
            zorder=4,
        )
    inside = path in tuned.default and (not choices or str(tuned.default[path]) in choices)
    if inside:
        axes.axvline(place(tuned.default[path]), color=BASE.colour, linestyle=BASE.dashes)
    objective_axis(axes, "y", objective)
    if choices:
        axes.set_xlim(-0.5, len(choices) - 0.5)
        axes.set_xticks(range(len(choices)), choices)
        axes.tick_params("x", colors=INK)
    elif "log" in space or "log_integer" in space:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(short(path))
