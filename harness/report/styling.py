"""Which line wears which style, the same in every figure of a report."""

from collections.abc import Iterable

from lengthwise.harness.report.curves import Curve, curves
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.style import LineStyle, line_styles

Styles = dict[tuple[str, str], LineStyle]


def styles_of(results: Results) -> Styles:
    """Counted over all planned lines, so that a late or failed run recolours nothing."""
    return line_styles([(curve.architecture, curve.variant) for curve in curves(results)])


def legend_of(lines: Iterable[Curve], styles: Styles) -> dict[str, LineStyle]:
    """The legend of a figure: the lines that it has, by label."""
    return {curve.label: styles[curve.architecture, curve.variant] for curve in lines}
