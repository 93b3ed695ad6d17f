"""How objectives are written and drawn: shares in [0, 1], the others in their own units."""

from lengthwise.harness.report.units import count, seconds, share, size
from lengthwise.harness.tune.objective import Objective
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

WRITERS = {
    "capability": share,
    "area": share,
    "effective_length": count,
    "parameters": count,
    "training_seconds": seconds,
    "seconds": seconds,
    "state_bytes": size,
}


def written(objective: Objective, value: float) -> str:
    """A value of the objective in its unit."""
    return WRITERS[objective.name](value)


def objective_axis(axes: Axes, side: str, objective: Objective) -> None:
    """The axis of an objective, named; a share has the whole of [0, 1]."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_label_text(objective.label)
    if objective.is_share:
        (axes.set_xlim if side == "x" else axes.set_ylim)(-0.03, 1.03)
        (axes.set_xticks if side == "x" else axes.set_yticks)([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    else:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: written(objective, value)))
