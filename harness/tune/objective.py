"""What is tuned for: metrics of the report, each with its direction, measured on any split."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from lengthwise.harness.settings import Settings
from lengthwise.harness.source import Path, Source, nearest
from lengthwise.harness.statistics import THRESHOLD, area_under_curve, effective_length
from lengthwise.harness.tune.settings import StudySettings
from lengthwise.harness.validation import validated
from pydantic import Field, PositiveInt


class NoOptions(Settings):
    """Nothing to choose."""


class AtLength(Settings):
    """Measured at one length."""

    length: PositiveInt | None = None
    """Tokens, one of evaluate.lengths; the trained length unless given."""


class Effective(Settings):
    """Up to where a capability holds."""

    threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD


@dataclass(frozen=True)
class Metric:
    """How one number comes from the scores of one task: a row a run and length.

    The columns are those of the report's evaluations, with `parameters` and `training_seconds`.
    """

    options: type[Settings]
    direction: Literal["maximize", "minimize"]
    of: Callable[[pd.DataFrame, Any], float]


def _accuracy(scores: pd.DataFrame) -> pd.Series:
    """Mean accuracy over runs by length, ascending."""
    shares = scores["correct"] / scores["answers"]
    table = pd.DataFrame({"length": scores["length"], "share": shares})
    return table.groupby("length").agg("mean").loc[:, "share"]


def _capability(scores: pd.DataFrame, options: AtLength) -> float:
    return float(_accuracy(scores).to_dict()[options.length])


def _effective(scores: pd.DataFrame, options: Effective) -> float:
    curve = _accuracy(scores)
    lengths = curve.index.to_numpy(dtype=np.int64)
    return float(effective_length(lengths, curve.to_numpy(), options.threshold).length)


def _area(scores: pd.DataFrame, _: NoOptions) -> float:
    curve = _accuracy(scores)
    return area_under_curve(curve.index.to_numpy(dtype=np.int64), curve.to_numpy())


def _at_length(column: str) -> Callable[[pd.DataFrame, Any], float]:
    return lambda scores, options: float(
        scores.loc[scores["length"] == options.length, column].to_numpy(dtype=float).mean()
    )


def _of_runs(column: str) -> Callable[[pd.DataFrame, Any], float]:
    return lambda scores, _: float(
        scores.drop_duplicates("run").loc[:, column].to_numpy(dtype=float).mean()
    )


METRICS = {
    "capability": Metric(AtLength, "maximize", _capability),
    "area": Metric(NoOptions, "maximize", _area),
    "effective_length": Metric(Effective, "maximize", _effective),
    "parameters": Metric(NoOptions, "minimize", _of_runs("parameters")),
    "training_seconds": Metric(NoOptions, "minimize", _of_runs("training_seconds")),
    "seconds": Metric(AtLength, "minimize", _at_length("seconds")),
    "state_bytes": Metric(AtLength, "minimize", _at_length("state_bytes")),
}


@dataclass(frozen=True)
class Objective:
    """A metric with its options."""

    name: str
    options: dict[str, Any]

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return self.metric.direction

    @property
    def label(self) -> str:
        """As a figure's axis says it.

        >>> Objective("capability", {"length": 64}).label
        'capability at 64 tokens'
        """
        if self.options.get("length"):
            return f"{self.name.replace('_', ' ')} at {self.options['length']:,} tokens"
        return "area under capability" if self.name == "area" else self.name.replace("_", " ")

    @property
    def is_share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.name in ("capability", "area")

    def value(self, scores: pd.DataFrame) -> float:
        """The mean over tasks.

        Args:
            scores: one row a run and length, as `Metric` says, with `task`.
        """
        options = self.metric.options(**self.options)
        return float(np.mean([self.metric.of(each, options) for _, each in scores.groupby("task")]))


def objectives_of(source: Source, settings: StudySettings) -> tuple[Objective, ...]:
    """The one or two objectives of a study; problems are recorded in the source."""
    raw = settings.objective
    listed: Sequence[Any] = raw if isinstance(raw, list) else [raw]
    places: Iterable[Path] = (
        [("objective", n) for n in range(len(listed))]
        if isinstance(raw, list)
        else [("objective",)]
    )
    found = [_objective(source, settings, *each) for each in zip(listed, places, strict=True)]
    chosen = tuple(each for each in found if each)
    if not 1 <= len(listed) <= 2:
        source.complain(("objective",), f"names one metric or two, not {len(listed)}")
    elif len(chosen) == len(listed) and all(each.direction == "minimize" for each in chosen):
        reached = [name for name, each in METRICS.items() if each.direction == "maximize"]
        source.complain(
            ("objective",), f"a cost alone is least for nothing; add {listed_or(reached)}"
        )
    elif len(set(map(str, chosen))) < len(chosen):
        source.complain(("objective",), "names one metric twice")
    if len(listed) == 2 and settings.pruner not in (None, "none"):
        source.complain(("pruner",), "only one objective can be pruned for; write none")
    if len(listed) == 2 and settings.sampler == "cmaes":
        source.complain(("sampler",), "CMA-ES has one objective; take tpe, gp, nsga2 or random")
    return chosen


def listed_or(names: Sequence[str]) -> str:
    """Names as alternatives.

    >>> listed_or(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _objective(source: Source, settings: StudySettings, raw: Any, place: Path) -> Objective | None:
    name, options = raw, {}
    if isinstance(raw, dict) and len(raw) == 1:
        name, options = next(iter(raw.items()))
        place = (*place, name)
    if not isinstance(name, str):
        source.complain(place, f"must be a metric's name or {{name: {{options}}}}, not {raw!r}")
        return None
    if name not in METRICS:
        source.complain(place, f"{name!r} is not reported{nearest(name, METRICS)}")
        return None
    checked = validated(source, METRICS[name].options, options or {}, place)
    if checked is None:
        return None
    if isinstance(checked, AtLength):
        lengths = settings.evaluate.lengths
        length = checked.length or settings.train.length
        if length not in lengths:
            known = ", ".join(map(str, lengths))
            at = (*place, "length") if checked.length else place
            source.complain(at, f"{name} is not reported at {length} tokens; allowed: {known}")
        checked = checked.model_copy(update={"length": length})
    return Objective(name, checked.model_dump())


def scores_of(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """The table that objectives are computed from, out of the report's tables."""
    about = runs.drop(columns="seconds").assign(training_seconds=runs["seconds"])
    about = about.loc[:, ["run", "task", "seed", "parameters", "training_seconds"]]
    return evaluations.merge(about.drop_duplicates("run"), on="run")
