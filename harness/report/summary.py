"""The results in one small table for the terminal."""

import numpy as np
import pandas as pd
from lengthwise.harness.report.curves import Curve, by_task, curves
from lengthwise.harness.report.results import STATUSES, Results
from lengthwise.harness.report.selection import LINE, chosen_runs
from lengthwise.harness.report.units import NOTHING


def summary(results: Results) -> pd.DataFrame:
    """One row a task and architecture (and variant), of the chosen setting.

    Columns: task, architecture, "at trained" and "at longest" (mean accuracy on test examples at
    the trained length and at the longest that any line of the task has; NaN where not measured),
    "effective" and "per seed" (effective length as text, "≥ 1,024" where it holds to the
    longest), "seconds" (of training, mean over the runs that took any) and "runs" (how many ended
    how, over all settings).
    """
    chosen = chosen_runs(results.runs)
    spent = chosen.loc[chosen["seconds"] > 0].groupby(LINE)["seconds"].mean()
    lines = curves(results)
    longest = {
        task: max(int(length) for curve in of_task for length in curve.lengths)
        for task, of_task in by_task(tuple(curve for curve in lines if curve.seeds)).items()
    }
    return pd.DataFrame(
        [
            {
                "task": curve.task,
                "architecture": curve.label,
                "at trained": _accuracy(curve, curve.at(curve.trained_length)),
                "at longest": _accuracy(curve, curve.at(longest.get(curve.task, -1))),
                "effective": str(curve.effective) if curve.seeds else NOTHING,
                "per seed": seed_range(curve),
                "seconds": spent.get(curve.key, np.nan),
                "runs": status_counts(_runs_of(curve, results.runs).loc[:, "status"]),
            }
            for curve in lines
        ],
        columns=pd.Index(
            [
                "task",
                "architecture",
                "at trained",
                "at longest",
                "effective",
                "per seed",
                "seconds",
                "runs",
            ]
        ),
    )


def seed_range(curve: Curve) -> str:
    """The least and the greatest effective length of single seeds: "256 to ≥ 1,024"."""
    if not curve.seeds:
        return NOTHING
    each = sorted(curve.effective_by_seed, key=lambda reached: (reached.length, reached.value))
    least, greatest = str(each[0]), str(each[-1])
    return least if least == greatest else f"{least} to {greatest}"


def status_counts(status: pd.Series) -> str:
    """How many runs ended how: "2 finished, 1 diverged"."""
    counts = status.value_counts()
    return ", ".join(
        f"{counts[name]} {name.replace('_', ' ')}" for name in STATUSES if name in counts.index
    )


def _accuracy(curve: Curve, index: int | None) -> float:
    return float(curve.mean[index]) if curve.seeds and index is not None else np.nan


def _runs_of(curve: Curve, runs: pd.DataFrame) -> pd.DataFrame:
    same = [runs[name] == value for name, value in zip(LINE, curve.key, strict=True)]
    return runs.loc[np.logical_and.reduce(same)]
