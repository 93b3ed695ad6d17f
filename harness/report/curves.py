"""One line of the report with all that was measured of it, length by length."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.selection import LINE, chosen_runs
from lengthwise.harness.statistics import THRESHOLD, EffectiveLength, band, effective_length
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The chosen setting of one architecture and variant on one task, over its seeds.

    S seeds were measured at N lengths. Every evaluation there is counts, also of a run that later
    ran out of memory at another length; a run without any has no row here but counts in `planned`.
    """

    task: str
    architecture: str
    variant: str
    setting: str
    width: int
    """Channels of the residual stream."""
    trained_length: int
    planned: int
    """Seeds the plan holds, finished or not."""
    lengths: NDArray[np.int64]
    """[N] ascending, in tokens."""
    by_seed: Floats
    """[S, N] accuracy on answers; NaN where a seed was not evaluated."""
    low: Floats
    high: Floats
    """[N] the interval, see `statistics.band`."""
    exact: Floats
    """[N] share of examples with every answer right."""
    chance: Floats
    seconds: Floats
    """[N] forward seconds an example, the median over seeds."""
    state_bytes: Floats
    floors: Mapping[str, float]
    """What knowing only part of an answer gives at the trained length, by name."""

    @property
    def label(self) -> str:
        return f"{self.architecture}, {self.variant}" if self.variant else self.architecture

    @property
    def key(self) -> tuple[str, str, str]:
        """Task, architecture and variant, as in `selection.LINE`."""
        return self.task, self.architecture, self.variant

    @property
    def mean(self) -> Floats:
        """[N] the mean accuracy of the seeds evaluated at each length."""
        return np.nanmean(self.by_seed, axis=0) if self.seeds else np.empty(0)

    @property
    def seeds(self) -> int:
        """Seeds measured."""
        return len(self.by_seed)

    @property
    def seeds_at(self) -> NDArray[np.int64]:
        """[N] seeds measured at each length."""
        return np.isfinite(self.by_seed).sum(axis=0)

    @property
    def effective(self) -> EffectiveLength:
        """Of the mean; ask only where something was measured."""
        return effective_length(self.lengths, self.mean, THRESHOLD)

    @property
    def effective_by_seed(self) -> list[EffectiveLength]:
        """Of each seed, over the lengths it was evaluated at."""
        return [
            effective_length(self.lengths[there], accuracy[there], THRESHOLD)
            for accuracy, there in zip(self.by_seed, np.isfinite(self.by_seed), strict=True)
        ]

    def at(self, length: int) -> int | None:
        """The index of a length, None where it was not evaluated."""
        found = np.flatnonzero(self.lengths == length)
        return int(found[0]) if len(found) else None


def curves(results: Results) -> tuple[Curve, ...]:
    """Every line in the order of the plan, those without an evaluation included."""
    chosen = chosen_runs(results.runs)
    return tuple(
        _curve(runs, results) for _, runs in chosen.groupby(LINE, sort=False, dropna=False)
    )


def measured_curves(results: Results) -> tuple[Curve, ...]:
    """The lines that have something to plot."""
    return tuple(curve for curve in curves(results) if curve.seeds)


def by_task(lines: tuple[Curve, ...]) -> dict[str, list[Curve]]:
    """Lines grouped by task, one panel each."""
    tasks = dict.fromkeys(curve.task for curve in lines)
    return {task: [curve for curve in lines if curve.task == task] for task in tasks}


def counts_by_seed(rows: pd.DataFrame, column: str, over: str) -> Floats:
    """[S, N] a column with one row a run and one column a value of `over`, ascending."""
    return rows.pivot(index="run", columns=over, values=column).to_numpy(dtype=float)


def bands(correct: Floats, answers: Floats) -> tuple[Floats, Floats]:
    """The lower and upper end at each of N points, from [S, N] counts with NaN for the absent."""
    there = np.isfinite(correct)
    ends = [
        band(correct[there[:, point], point], answers[there[:, point], point])
        for point in range(correct.shape[1])
    ]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _curve(runs: pd.DataFrame, results: Results) -> Curve:
    first, evaluations = runs.iloc[0], results.evaluations
    rows = evaluations.loc[evaluations["run"].isin(runs["run"]) & (evaluations["answers"] > 0)]
    correct, answers = (counts_by_seed(rows, name, "length") for name in ("correct", "answers"))
    low, high = bands(correct, answers)
    at_length = rows.groupby("length").agg(
        {
            "exact": "sum",
            "examples": "sum",
            "chance": "median",
            "seconds": "median",
            "state_bytes": "median",
        }
    )
    return Curve(
        task=str(first["task"]),
        architecture=str(first["architecture"]),
        variant=str(first["variant"]),
        setting=str(first["setting"]),
        width=int(first["width"]),
        trained_length=int(first["trained_length"]),
        planned=len(runs),
        lengths=at_length.index.to_numpy(dtype=np.int64),
        by_seed=correct / answers,
        low=low,
        high=high,
        exact=_column(at_length, "exact") / _column(at_length, "examples"),
        chance=_column(at_length, "chance"),
        seconds=_column(at_length, "seconds"),
        state_bytes=_column(at_length, "state_bytes"),
        floors=results.floors.get(str(first["run"]), {}),
    )


def _column(rows: pd.DataFrame, name: str) -> Floats:
    return rows.loc[:, name].to_numpy(dtype=float)
