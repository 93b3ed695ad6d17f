"""From a chart to pictures: one SVG a panel for the page, one figure of all panels for a paper."""

import io
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from lengthwise.harness.report.section import Chart, Panel
from lengthwise.harness.report.style import RC, THEME, LineStyle
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PANEL = (2.5, 2.1)
"""Inches; 390 px of a phone show it at twice its size, with 13 px letters."""
MARGINS = {"left": 0.62, "right": 0.12, "bottom": 0.44, "top": 0.4}
WHOLE_PANEL = (7.1 / 3, 2.0)
"""Inches of a panel in a whole figure: three fill a page of two columns. Fewer make a narrower
figure, not larger panels, so that figures side by side have letters of one size."""
FORMATS = ("svg", "png", "pdf")
DOTS_PER_INCH = 300
# No dates and no program versions: the same results give the same bytes.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def panel_svg(panel: Panel, name: str) -> str:
    """One panel as an <svg> element for the page, its ids made unique by `name`."""
    with rc_context(RC):
        figure = Figure(figsize=PANEL)
        _draw(figure, panel, (0.0, 0.0), PANEL)
        return inline(_saved(figure, "svg").decode(), name, panel.title)


def swatch_svg(style: LineStyle, name: str) -> str:
    """The piece of line that stands before a name in the page's legend."""
    return inline(_swatch(style), name, "")


@cache
def _swatch(style: LineStyle) -> str:
    with rc_context(RC):
        figure = Figure(figsize=(0.4, 0.14))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.plot([0, 0.5, 1], [0, 0, 0], markevery=[1], **style.drawn)
        return _saved(figure, "svg").decode()


def whole_figure(chart: Chart) -> dict[str, bytes]:
    """All panels with one legend under them, in every format, by file ending."""
    with rc_context(RC):
        figure = _compose(chart)
        # The page's panels take their ground from the page; a file must bring its own.
        figure.set_facecolor("white")
        return {ending: _saved(figure, ending) for ending in FORMATS}


def inline(svg: str, name: str, title: str) -> str:
    """An SVG file as an element inside HTML.

    Several of them share the page's ids, so each id gets a prefix; each fixed size becomes the
    page's business; the theme's colours become CSS variables.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(href="|url\()#', rf"\1#{name}-", element)
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    for colour, variable in THEME.items():
        element = element.replace(colour, f"var({variable})")
    label = f'role="img" aria-label="{_attribute(title)}"' if title else 'aria-hidden="true"'
    return element.replace("<svg ", f"<svg {label} ", 1)


def _compose(chart: Chart) -> Figure:
    panels = len(chart.panels)
    columns = min(3, panels)
    rows = math.ceil(panels / columns)
    width, height = WHOLE_PANEL
    total = max([columns * width, *(_key_width(label) for label in chart.legend)])
    legend_columns, legend_rows = _legend_shape(chart.legend, total)
    foot = 0.08 + 0.13 * legend_rows
    figure = Figure(figsize=(total, rows * height + foot))
    for index, panel in enumerate(chart.panels):
        row, column = divmod(index, columns)
        corner = (column * width, foot + (rows - 1 - row) * height)
        axes = _draw(figure, panel, corner, (width, height))
        if column:
            axes.set_ylabel("")
    handles = [Line2D([], [], label=label, **style.drawn) for label, style in chart.legend.items()]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0),
        ncols=legend_columns,
        handlelength=3,
        borderaxespad=0.3,
        labelspacing=0.3,
        columnspacing=1.4,
    )
    return figure


def _legend_shape(legend: Mapping[str, LineStyle], width: float) -> tuple[int, int]:
    """The most columns that fit side by side, each as wide as its longest name, and their rows."""
    widths = [_key_width(label) for label in legend]
    for columns in range(len(widths), 1, -1):
        rows = math.ceil(len(widths) / columns)
        if sum(max(widths[at : at + rows]) for at in range(0, len(widths), rows)) <= width:
            return columns, rows
    return 1, len(widths)


def _key_width(label: str) -> float:
    """Inches of a name in the legend: 0.06 a letter at 7 pt, and 0.55 for the swatch."""
    return 0.55 + 0.06 * len(label)


def _draw(
    figure: Figure, panel: Panel, corner: tuple[float, float], inches: tuple[float, float]
) -> Axes:
    """Axes at a place given in inches, margins taken off, so that no layout engine is needed."""
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            (corner[0] + MARGINS["left"]) / total_width,
            (corner[1] + MARGINS["bottom"]) / total_height,
            (inches[0] - MARGINS["left"] - MARGINS["right"]) / total_width,
            (inches[1] - MARGINS["bottom"] - MARGINS["top"]) / total_height,
        )
    )
    axes.set_title(panel.title, pad=12)
    panel.draw(axes)
    return axes


def _saved(figure: Figure, ending: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, dpi=DOTS_PER_INCH, metadata=METADATA[ending])
    return buffer.getvalue()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
