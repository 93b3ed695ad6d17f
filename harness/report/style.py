"""How every figure looks: colours, markers, dashes, type sizes. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INK = "#1b1f24"
MUTED = "#6a737d"
GRID = "#e2e6ea"
PAPER = "#fefefe"

THEME = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--card"}
"""On the page these colours become CSS variables, so that a figure follows the dark theme."""

# The eight colours of Okabe and Ito (2008), those that stand apart best on white first; yellow,
# too pale for a line on paper, last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK, "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
Dashes = tuple[float, tuple[float, ...]]
DASHES: tuple[Dashes, ...] = (
    (0, ()),
    (0, (5, 1.6)),
    (0, (1.2, 1.2)),
    (0, (5, 1.4, 1.2, 1.4)),
    (0, (8, 2)),
)

RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.4,
    # A "$" in the name of a task is a "$".
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.fontsize": 7,
    # Outlines instead of text: a machine without DejaVu would set other widths and break labels.
    "svg.fonttype": "path",
    "svg.hashsalt": "lengthwise",
    # TrueType instead of Type 3, which many journals refuse.
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class LineStyle:
    """Colour, marker and dashes: any one of them tells lines apart when the others are lost."""

    colour: str
    marker: str
    dashes: Dashes
    width: float = 1.3

    @property
    def drawn(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dashes,
            "linewidth": self.width,
            "markeredgecolor": PAPER,
            "markeredgewidth": 0.4,
        }


CHANCE = LineStyle(MUTED, "", (0, (1, 2)), 1.0)
"""The dotted line of guessing."""
FLOOR = LineStyle(MUTED, "", (0, (4, 3)), 0.8)
"""The dashed line of knowing only part of an answer."""


def line_styles(lines: Sequence[tuple[str, str]]) -> dict[tuple[str, str], LineStyle]:
    """One style for each (architecture, variant), the same in every figure of a report.

    Colour follows the architecture, and so do dashes unless there are variants to tell apart;
    markers count through all lines.

    >>> styles = line_styles([("mamba", "width=32"), ("mamba", "width=64")])
    >>> len({style.colour for style in styles.values()}), len(set(styles.values()))
    (1, 2)
    """
    distinct = list(dict.fromkeys(lines))
    architectures = list(dict.fromkeys(architecture for architecture, _ in distinct))
    variants = list(dict.fromkeys(variant for _, variant in distinct))
    return {
        (architecture, variant): LineStyle(
            colour=COLOURS[architectures.index(architecture) % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            dashes=DASHES[(variants.index(variant) if len(variants) > 1 else index) % len(DASHES)],
        )
        for index, (architecture, variant) in enumerate(distinct)
    }
