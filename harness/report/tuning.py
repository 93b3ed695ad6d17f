"""What a report knows of a study: its trials, what they chose, and how that did on test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lengthwise.harness.statistics import Interval, t_interval
from lengthwise.harness.tune.objective import Objective, scores_of

DEFAULT, TUNED = "default", "tuned"
"""The variants of the runs that are tested."""
LINE_AND_SEED = ["architecture", "variant", "seed"]
OUTCOMES = ("finished", "pruned", "diverged", "out_of_memory", "failed")


@dataclass(frozen=True)
class Trial:
    """One setting that was tried."""

    number: int
    ended: str
    setting: Mapping[str, Any]
    """By path."""
    values: tuple[float, ...]
    """Of the objectives on validation examples; empty unless it finished."""
    by_seed: tuple[tuple[float, ...], ...]
    """The same of each seed."""
    steps: int | None
    attempts: int
    seconds: float | None
    error: str


@dataclass(frozen=True)
class Tuned:
    """What tuning found of one architecture."""

    architecture: str
    space: Mapping[str, Mapping[str, Any]]
    """Path -> its scale with its values, and its conditions."""
    default: Mapping[str, Any]
    chosen: Trial | None
    importance: Mapping[str, float]
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.values]

    @property
    def default_trial(self) -> Trial | None:
        """The trial of the default setting, where it was one and finished."""
        same = [trial for trial in self.finished if dict(trial.setting) == dict(self.default)]
        return same[0] if same else None


@dataclass(frozen=True)
class Tuning:
    """A study."""

    objectives: tuple[Objective, ...]
    trials: int
    """Of each architecture."""
    seeds: tuple[int, ...]
    sampler: str
    pruner: str
    architectures: tuple[Tuned, ...]


def tuning_of(record: Mapping[str, Any]) -> Tuning:
    """From the plain data that a results folder keeps."""
    return Tuning(
        objectives=tuple(Objective(each["name"], each["options"]) for each in record["objectives"]),
        trials=record["budget"]["trials"],
        seeds=tuple(record["budget"]["seeds"]),
        sampler=record["sampler"],
        pruner=record["pruner"],
        architectures=tuple(_tuned(label, each) for label, each in record["architectures"].items()),
    )


def _tuned(label: str, record: Mapping[str, Any]) -> Tuned:
    trials = tuple(_trial(each) for each in record["trials"])
    chosen = record["chosen"] and record["chosen"]["trial"]
    return Tuned(
        architecture=label,
        space=record["space"],
        default=record["default"],
        chosen=next((trial for trial in trials if trial.number == chosen), None),
        importance=record["importance"],
        trials=trials,
    )


def _trial(record: Mapping[str, Any]) -> Trial:
    return Trial(
        number=record["trial"],
        ended=record["ended"],
        setting=record["setting"],
        values=tuple(record["values"] or ()),
        by_seed=tuple(tuple(each) for each in record["by_seed"]),
        steps=record["steps"],
        attempts=record["attempts"],
        seconds=record["seconds"],
        error=record["error"],
    )


def measured(
    runs: pd.DataFrame, evaluations: pd.DataFrame, objective: Objective
) -> dict[tuple[str, str], dict[int, float]]:
    """The objective on test examples: (architecture, variant) -> seed -> value.

    A seed that diverged has no scores; of an objective that is a share it counts as 0, so that a
    setting gains nothing by losing seeds, and of another it is left out.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for (architecture, variant, seed), own in runs.groupby(LINE_AND_SEED, sort=False):  # pyright: ignore[reportGeneralTypeIssues]
        scores = scores_of(own, evaluations)
        by_seed = found.setdefault((str(architecture), str(variant)), {})
        if len(scores) and set(scores["run"]) == set(own["run"]):
            by_seed[int(seed)] = objective.value(scores)
        elif objective.is_share and "diverged" in own["status"].tolist():
            by_seed[int(seed)] = 0.0
    return found


def interval(values: Sequence[float], objective: Objective) -> Interval:
    """Student's interval of the mean over seeds, within [0, 1] where the objective is a share."""
    low, high = t_interval(values)
    if not objective.is_share:
        return low, high
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def short(path: str) -> str:
    """A parameter's name in a figure.

    >>> short("train.optimizer.lr")
    'lr'
    """
    return path.rpartition(".")[2]


def described(setting: Mapping[str, Any]) -> str:
    """A setting in a table: "lr=0.00312, heads=2"."""
    return ", ".join(
        f"{short(path)}={f'{value:.3g}' if isinstance(value, float) else value}"
        for path, value in setting.items()
    )
