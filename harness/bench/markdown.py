"""Tables of the reports, line by line, so that a long measurement shows what it has."""

from collections.abc import Iterable, Iterator, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table.

    >>> list(table(["backend", "ms"], [("triton", "0.28")]))
    ['| backend | ms |', '|---|---|', '| triton | 0.28 |']
    """
    yield _line(headings)
    yield f"|{'---|' * len(headings)}"
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
