"""A table in the formats people paste: CSV with its numbers, Markdown and LaTeX as shown."""

import re

import pandas as pd
from lengthwise.harness.report.section import Table
from tabulate import tabulate

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "µ": r"$\mu$",
    "∝": r"$\propto$",
    "ᵖ": r"$^p$",
    "·": r"$\cdot$",
    "“": "``",
    "”": "''",
}
NUMBER = re.compile(
    r"–|[<≥−]? ?[\d.,]+(×| ?(µs|ms|s|min|h|[KMGT]i?B|B))?( (±|to|of) [<≥]? ?[\d.,]+)?"
)
"""A number with its bound, unit, error or range, or the dash of one that is not there."""


def table_files(table: Table) -> dict[str, str]:
    """The text of each file, by ending."""
    return {
        "csv": table.data.to_csv(index=False, lineterminator="\n"),
        "md": markdown(table.shown),
        "tex": latex(table),
    }


def markdown(shown: pd.DataFrame) -> str:
    """A pipe table; bars inside cells are escaped."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in shown.to_numpy().tolist()]
    aligned = ["right" if right else "left" for right in right_aligned(shown)]
    text = tabulate(
        rows,
        headers=list(shown.columns),
        tablefmt="github",
        colalign=aligned if rows else None,
        disable_numparse=True,
    )
    return f"{text}\n"


def latex(table: Table) -> str:
    """A booktabs table with its caption and label."""
    columns = "".join("r" if right else "l" for right in right_aligned(table.shown))
    head, *body = (
        " & ".join(escaped(str(cell)) for cell in row) + r" \\"
        for row in [list(table.shown.columns), *table.shown.to_numpy().tolist()]
    )
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text with LaTeX's special characters written out.

    >>> escaped("≥ 1,024 & gated_delta_net")
    '$\\\\geq$ 1,024 \\\\& gated\\\\_delta\\\\_net'
    """
    return "".join(LATEX.get(character, character) for character in text)


def right_aligned(shown: pd.DataFrame) -> list[bool]:
    """Which columns hold numbers.

    >>> right_aligned(pd.DataFrame({"a": ["≥ 1,024", "–"], "b": ["3 finished", "1"]}))
    [True, False]
    """
    return [
        len(shown) > 0 and all(NUMBER.fullmatch(cell) for cell in shown[column])
        for column in shown.columns
    ]
