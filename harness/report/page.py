"""Assembles the page from sections; what it looks like stands in page.html and style.css."""

import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from lengthwise.harness.report.drawing import FORMATS, panel_svg, swatch_svg
from lengthwise.harness.report.files import right_aligned
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Section
from lengthwise.harness.report.wording import headline, notices, overview
from markupsafe import Markup


def render(results: Results, sections: Mapping[str, Section]) -> str:
    """The text of index.html. Everything is escaped but the SVG drawn here and our own CSS."""
    environment = Environment(
        loader=PackageLoader("lengthwise.harness.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = slug
    opening, sentences = headline(results)
    return environment.get_template("page.html").render(
        results=results,
        sections=sections,
        opening=opening,
        sentences=sentences,
        notices=notices(results),
        overview=overview(results),
        css=Markup(environment.get_template("style.css").render()),
        panels=_panels,
        legend=_legend,
        right_aligned=right_aligned,
        formats=FORMATS,
    )


def slug(title: str) -> str:
    """An anchor.

    >>> slug("Capability versus length")
    'capability-versus-length'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _panels(chart: Chart) -> list[Markup]:
    return [
        Markup(panel_svg(panel, f"{chart.name}-{index}"))
        for index, panel in enumerate(chart.panels)
    ]


def _legend(chart: Chart) -> list[tuple[str, Markup]]:
    return [
        (label, Markup(swatch_svg(style, f"{chart.name}-key-{index}")))
        for index, (label, style) in enumerate(chart.legend.items())
    ]
