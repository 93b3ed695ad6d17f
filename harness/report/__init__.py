"""The report: one self-contained page, and every figure and table as files of their own.

`results` is what it is made from; `sections/` holds one file a section; `section` the parts a
section is made of; `style`, `axes` and `drawing` how figures look; `page` and its templates how
the page does.
"""

from pathlib import Path

from lengthwise.harness.report.drawing import whole_figure
from lengthwise.harness.report.files import table_files
from lengthwise.harness.report.page import render
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.sections import build_sections
from lengthwise.harness.report.summary import summary

__all__ = ["Results", "summary", "write_report"]


def write_report(results: Results, folder: Path) -> Path:
    """Writes index.html, figures/ and tables/ into a folder; the same results give the same bytes.

    Args:
        results: what was measured.
        folder: made if absent; files of the same names are overwritten, others left alone.

    Returns:
        The path of index.html.
    """
    sections = build_sections(results)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for section in sections.values():
        for chart in section.charts:
            for ending, data in whole_figure(chart).items():
                (folder / "figures" / f"{chart.name}.{ending}").write_bytes(data)
        for table in section.tables:
            for ending, text in table_files(table).items():
                (folder / "tables" / f"{table.name}.{ending}").write_text(text, encoding="utf-8")
    page = folder / "index.html"
    page.write_text(render(results, sections), encoding="utf-8")
    return page
