"""Which parameters mattered, for each architecture."""

from functools import partial

from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section
from lengthwise.harness.report.style import COLOURS
from lengthwise.harness.report.tuning import Tuned, short
from matplotlib.axes import Axes

ORDER = 7
TITLE = "Importance of parameters"


def build(results: Results) -> Section | None:
    if results.tuning is None:
        return None
    known = [each for each in results.tuning.architectures if each.importance]
    if not known:
        return None
    chart = Chart(
        name="tuning-importance",
        caption=(
            "What share each parameter has in whether a trial is among the best quarter of those "
            "that finished (PED-ANOVA). The shares of an architecture add up to 1; with few trials "
            "they are rough."
        ),
        panels=[Panel(each.architecture, partial(_draw, tuned=each)) for each in known],
        legend={},
    )
    return Section(charts=[chart])


def _draw(axes: Axes, tuned: Tuned) -> None:
    ordered = sorted(tuned.importance.items(), key=lambda item: -item[1])
    for row, (path, value) in enumerate(ordered):
        axes.barh(row, value, height=0.34, color=COLOURS[0], zorder=3)
        axes.annotate(
            f"{short(path)}  {value:.2f}",
            (0.0, row - 0.26),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=6.5,
        )
    axes.set_ylim(max(2.6, len(ordered) - 0.4), -0.7)
    axes.set_yticks([])
    axes.set_xlim(0, 1)
    axes.set_xlabel("importance (share)")
