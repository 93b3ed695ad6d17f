"""Chi-square tests that a fixed seed passes or fails for good: one false alarm in a thousand."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

ALARM = 1e-3


def uniform(counts: ArrayLike) -> bool:
    """Every outcome is equally likely."""
    return follows(counts, None)


def follows(counts: ArrayLike, expected: ArrayLike | None) -> bool:
    """The counts are those of a law with these expected counts."""
    result: Any = stats.chisquare(np.asarray(counts), expected)
    return result.pvalue > ALARM


def independent(table: ArrayLike) -> bool:
    """Rows and columns of the counts are independent: all rows follow one law."""
    table = np.asarray(table)
    result: Any = stats.chi2_contingency(table[:, table.any(axis=0)][table.any(axis=1)])
    return result.pvalue > ALARM
