"""Two objectives: what a little more of one costs of the other."""

from collections.abc import Sequence

from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section
from lengthwise.harness.report.style import LineStyle, line_styles
from lengthwise.harness.report.tuned_numbers import objective_axis
from lengthwise.harness.report.tuning import Trial, Tuning
from lengthwise.harness.tune.objective import Objective
from matplotlib.axes import Axes

ORDER = 9
TITLE = "Pareto front"


def build(results: Results) -> Section | None:
    tuning = results.tuning
    if tuning is None or len(tuning.objectives) != 2:
        return None
    if not any(each.finished for each in tuning.architectures):
        return None
    names = [(each.architecture, "") for each in tuning.architectures]
    styles = {name: style for (name, _), style in line_styles(names).items()}
    better, other = tuning.objectives
    chart = Chart(
        name="tuning-pareto-front",
        caption=(
            f"{better.label[0].upper()}{better.label[1:]} against {other.label} of every finished "
            "trial, on validation examples. Lines join the trials of an architecture that no other "
            "of its trials beats in both."
        ),
        panels=[Panel(results.name, lambda axes: _draw(axes, tuning, styles))],
        legend=styles,
    )
    return Section(charts=[chart])


def front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The trials that no other is at least as good as in both and better in one, by the second."""
    signs = [1 if each.direction == "maximize" else -1 for each in objectives]

    def scores(trial: Trial) -> tuple[float, ...]:
        return tuple(s * v for s, v in zip(signs, trial.values, strict=True))

    def beaten(trial: Trial) -> bool:
        own = scores(trial)
        return any(
            scores(other) != own and all(a >= b for a, b in zip(scores(other), own, strict=True))
            for other in trials
        )

    return sorted((each for each in trials if not beaten(each)), key=lambda each: each.values[1])


def _draw(axes: Axes, tuning: Tuning, styles: dict[str, LineStyle]) -> None:
    for each in tuning.architectures:
        style = styles[each.architecture]
        axes.plot(
            [trial.values[1] for trial in each.finished],
            [trial.values[0] for trial in each.finished],
            style.marker,
            color=style.colour,
            markersize=2.6,
            alpha=0.4,
            clip_on=False,
        )
        best = front(each.finished, tuning.objectives)
        axes.plot(
            [trial.values[1] for trial in best],
            [trial.values[0] for trial in best],
            clip_on=False,
            zorder=3,
            **style.drawn,
        )
    objective_axis(axes, "y", tuning.objectives[0])
    objective_axis(axes, "x", tuning.objectives[1])
