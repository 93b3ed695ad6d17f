"""One line of an accuracy figure: the mean, each seed under it, and the interval."""

from typing import Any

from lengthwise.harness.report.curves import Floats
from lengthwise.harness.report.style import LineStyle
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

DODGE, WIDEST_DODGE = 3.0, 12.0
"""Points between neighbouring lines, and from the first to the last of very many."""


def dodge(index: int, lines: int) -> float:
    """How far to the side a line stands, in points, so that equal values hide nothing.

    >>> [dodge(index, 3) for index in range(3)]
    [-3.0, 0.0, 3.0]
    """
    step = min(DODGE, WIDEST_DODGE / max(1, lines - 1))
    return step * (index - (lines - 1) / 2)


def draw_line(
    axes: Axes,
    x: Floats,
    by_seed: Floats,
    mean: Floats,
    interval: tuple[Floats, Floats] | None,
    style: LineStyle,
    aside: float,
) -> None:
    """The interval as soft upright bars, seeds thin and faint, the mean over both.

    Args:
        axes: with its scale and limits set or still to set.
        x: [N] places.
        by_seed: [S, N] accuracies; NaN leaves a gap.
        mean: [N] of the seeds.
        interval: the low and the high end, [N] each; None draws no bars.
        style: of the mean.
        aside: points to the right, see `dodge`.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    shift = ScaledTranslation(aside / 72, 0, figure.dpi_scale_trans)
    moved: dict[str, Any] = {"transform": axes.transData + shift, "color": style.colour}
    if interval is not None:
        axes.vlines(x, *interval, linewidth=2.2, alpha=0.2, zorder=2, **moved)
    if len(by_seed) > 1:
        for accuracy in by_seed:
            axes.plot(x, accuracy, linewidth=0.6, alpha=0.45, zorder=2.2, **moved)
    axes.plot(x, mean, clip_on=False, zorder=3, **(style.drawn | moved))
