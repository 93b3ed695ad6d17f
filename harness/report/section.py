"""The parts a section of the report is made of: charts, tables and verbatim text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from lengthwise.harness.report.style import LineStyle
from matplotlib.axes import Axes


@dataclass(frozen=True)
class Panel:
    """One task's plot. `draw` fills empty axes, labels included."""

    title: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Chart:
    """Panels under one legend; one figure in a paper, a grid of them on the page."""

    name: str
    """The file name without its ending."""
    caption: str
    panels: Sequence[Panel]
    legend: Mapping[str, LineStyle]


@dataclass(frozen=True)
class Table:
    """A table twice: as read on the page, and as numbers for the CSV file."""

    name: str
    """The file name without its ending."""
    caption: str
    shown: pd.DataFrame
    data: pd.DataFrame
    folded: bool = False
    """Whether the page keeps it closed until asked."""


@dataclass(frozen=True)
class Verbatim:
    """Text shown as it is, closed until asked: a traceback, a suite file."""

    title: str
    text: str
    folded: bool = True


@dataclass(frozen=True)
class Section:
    """One part of the page. `intro` holds paragraphs of plain text."""

    intro: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    verbatim: Sequence[Verbatim] = ()


def table(
    name: str,
    caption: str,
    data: pd.DataFrame,
    formats: Mapping[str, Callable[[Any], str]],
    *,
    columns: Sequence[str] | None = None,
    folded: bool = False,
) -> Table:
    """A table whose cells are written by one function a column, by str without one.

    All columns are shown unless some are named; the data keeps all of them.

    Columns that are blank all the way down (no variants, no settings) are left out of what is
    shown and stay in the data.

    >>> numbers = pd.DataFrame({"variant": [""], "accuracy": [0.9]})
    >>> table("t", "…", numbers, {"accuracy": "{:.2f}".format}).shown.to_dict("list")
    {'accuracy': ['0.90']}
    """
    cells = {
        column: [formats.get(column, str)(value) for value in data[column]]
        for column in columns or list(data.columns)
    }
    shown = pd.DataFrame({column: texts for column, texts in cells.items() if any(texts)})
    return Table(name, caption, shown, data, folded)
