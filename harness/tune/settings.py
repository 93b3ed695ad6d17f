"""The fields that a study file has beside those of a suite."""

from typing import Annotated, Any, Literal

from lengthwise.harness.settings import Settings, SuiteSettings
from pydantic import Field, NonNegativeInt, PositiveInt

SamplerName = Literal["tpe", "random", "grid", "gp", "cmaes", "nsga2"]
PrunerName = Literal["median", "hyperband", "none"]


class ParameterSettings(Settings):
    """One parameter of the space: exactly one of the scales, and when it plays a part."""

    log: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Numbers between two ends, even on a logarithmic scale."""
    uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Numbers between two ends."""
    integer: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Whole numbers from one end to the other, both included."""
    log_integer: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """The same, even on a logarithmic scale."""
    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    """Any of these."""
    when: dict[str, Any] = Field(default_factory=dict)
    """Another parameter's path, or `architecture` -> the value or values for which it counts."""


SCALES = tuple(name for name in ParameterSettings.model_fields if name != "when")


class Budget(Settings):
    """What every architecture gets, and none gets more of."""

    trials: PositiveInt = 24
    """Settings tried."""
    batch: PositiveInt = 8
    """Trials asked for at once; those of one shape are trained as one population."""
    seeds: list[NonNegativeInt] = Field(default=[100, 101], min_length=1)
    """Seeds of every trial; the choice is tested on those of `sweep.seed`, which must be others."""


class StudySettings(SuiteSettings):
    """A study: a suite and what is tuned, for what, at what cost."""

    space: Annotated[dict[str, Any], Field(min_length=1)]
    """Path of a field -> how it may be chosen."""
    objective: Any
    """A metric's name or {name: {options}}; two of them for a Pareto front."""
    budget: Budget = Budget()
    sampler: SamplerName = "tpe"
    pruner: PrunerName | None = None
    """Unless given: median with one objective, none with two."""
