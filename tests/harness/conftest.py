"""Fixtures of the harness' tests."""

import pytest
from lengthwise.harness import run
from lengthwise.harness.report import drawing

EVERY_FORMAT = drawing.FORMATS


@pytest.fixture(autouse=True)
def one_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as SVG alone: most of a report's time goes into the other formats.

    What fixtures of a whole module write comes before it and has every format.
    """
    monkeypatch.setattr(drawing, "FORMATS", ("svg",))


@pytest.fixture
def every_format(one_format: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(drawing, "FORMATS", EVERY_FORMAT)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what was run, not of how it is shown."""
    monkeypatch.setattr(run, "write_report", lambda _results, folder: folder / "index.html")
