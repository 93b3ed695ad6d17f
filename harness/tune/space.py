"""The space of a study: what may vary, between what, for whom; checked by making the runs."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lengthwise.harness.entries import NamedArchitecture, NamedTask
from lengthwise.harness.source import Path, Source, nearest
from lengthwise.harness.sweep import make_run, unvaried
from lengthwise.harness.tune.settings import SCALES, ParameterSettings, StudySettings
from lengthwise.harness.validation import validated
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

ARCHITECTURE = "architecture"
MAY_VARY = ("model", "train", ARCHITECTURE)
WHOLE_RANGE = 16
"""Integer ranges of up to this many values are checked value by value."""


@dataclass(frozen=True)
class Parameter:
    """One field of the runs that the sampler chooses."""

    path: str
    scale: str
    values: tuple[Any, ...]
    """The two ends of a range, or the choices."""
    when: Mapping[str, tuple[Any, ...]]

    @property
    def distribution(self) -> BaseDistribution:
        """Optuna's name for it."""
        if self.scale == "choice":
            return CategoricalDistribution(self.values)
        low, high = self.values
        kind = IntDistribution if "integer" in self.scale else FloatDistribution
        return kind(low, high, log=self.scale.startswith("log"))

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it plays a part given what was chosen of the parameters above it."""
        return all(
            path == ARCHITECTURE or (path in chosen and chosen[path] in wanted)
            for path, wanted in self.when.items()
        )

    def holds(self, value: Any) -> bool:
        """Whether it may take a value."""
        if self.scale == "choice":
            return value in self.values
        whole = isinstance(value, int) or "integer" not in self.scale
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and whole and self.values[0] <= value <= self.values[1]

    @property
    def size(self) -> float:
        """How many values it has."""
        if self.scale == "choice":
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if "integer" in self.scale else float("inf")

    def to_json(self) -> dict[str, Any]:
        conditions = {path: list(wanted) for path, wanted in self.when.items()}
        return {self.scale: list(self.values)} | ({"when": conditions} if conditions else {})


def space_of(
    source: Source,
    settings: StudySettings,
    tasks: Sequence[NamedTask],
    architectures: Sequence[NamedArchitecture],
) -> dict[str, tuple[Parameter, ...]]:
    """The parameters of each architecture by its label; problems are recorded in the source."""
    found: list[Parameter] = []
    labels = [each.label for each in architectures]
    for path, raw in settings.space.items():
        parameter = _parameter(source, path, raw, found, labels)
        if parameter:
            found.append(parameter)
            _check_values(source, settings, tasks, _concerned(parameter, architectures), parameter)
    spaces = {
        each.label: tuple(p for p in found if each in _concerned(p, architectures))
        for each in architectures
    }
    for architecture in architectures:
        if not spaces[architecture.label] and not source.problems:
            source.complain(architecture.path, f"nothing of {architecture.label!r} is in the space")
    return spaces


def default_values(
    settings: StudySettings, architecture: NamedArchitecture, parameters: Iterable[Parameter]
) -> dict[str, Any]:
    """What the file says without the space, by path, of the parameters that then play a part."""
    draft = unvaried(settings, architecture)
    chosen: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.active(chosen):
            value: Any = draft
            for part in parameter.path.split("."):
                value = value[part]
            chosen[parameter.path] = value
    return chosen


def grid(parameters: Iterable[Parameter]) -> dict[str, list[Any]]:
    """Every value of every parameter; only for those with finitely many."""
    return {
        each.path: list(each.values)
        if each.scale == "choice"
        else list(range(each.values[0], each.values[1] + 1))
        for each in parameters
    }


def _concerned(
    parameter: Parameter, architectures: Iterable[NamedArchitecture]
) -> list[NamedArchitecture]:
    only = parameter.when.get(ARCHITECTURE)
    return [each for each in architectures if only is None or each.label in only]


def _parameter(
    source: Source, path: str, raw: Any, above: Sequence[Parameter], labels: Sequence[str]
) -> Parameter | None:
    place: Path = ("space", path)
    problems = len(source.problems)
    if path.split(".")[0] not in MAY_VARY:
        reason = {
            "task": "; a task is what is asked, never tuned",
            "seed": "; seeds are averaged, never chosen",
        }.get(path.split(".")[0], nearest(path.split(".")[0], MAY_VARY))
        source.complain(place, f"cannot tune {path!r}{reason}")
    checked = validated(source, ParameterSettings, raw, place)
    if checked is None:
        return None
    given = [name for name in SCALES if getattr(checked, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        source.complain(place, f"needs exactly one of {', '.join(SCALES)}, not {found}")
        return None
    values = tuple(getattr(checked, given[0]))
    _check_scale(source, (*place, given[0]), given[0], values)
    when = {name: _conditions(wanted) for name, wanted in checked.when.items()}
    for name, wanted in when.items():
        _check_condition(source, (*place, "when", name), name, wanted, above, labels)
    return Parameter(path, given[0], values, when) if len(source.problems) == problems else None


def _conditions(wanted: Any) -> tuple[Any, ...]:
    return tuple(wanted) if isinstance(wanted, list) else (wanted,)


def _check_scale(source: Source, place: Path, scale: str, values: tuple[Any, ...]) -> None:
    if scale == "choice":
        for n, value in enumerate(values):
            if value in values[:n]:
                source.complain((*place, n), f"{value!r} stands twice")
            if not isinstance(value, str | int | float | None):
                source.complain((*place, n), f"a choice is a number, text or null, not {value!r}")
        return
    low, high = values
    if low == high:
        source.complain(place, f"is empty: from {low} to {high}; leave it out of the space instead")
    elif low > high:
        source.complain(place, f"is inverted: {low} is above {high}; write [{high}, {low}]")
    if scale.startswith("log") and low <= 0:
        source.complain((*place, 0), f"a logarithmic range starts above 0, not at {low}")


def _check_condition(
    source: Source,
    place: Path,
    name: str,
    wanted: Sequence[Any],
    above: Sequence[Parameter],
    labels: Sequence[str],
) -> None:
    choices = {each.path: each.values for each in above if each.scale == "choice"}
    allowed = {ARCHITECTURE: tuple(labels), **choices}
    if name not in allowed:
        hint = nearest(name, allowed)
        source.complain(place, f"no choice of this name stands above it{hint}")
        return
    for value in wanted:
        if value not in allowed[name]:
            hint = nearest(str(value), map(str, allowed[name]))
            source.complain(place, f"{name} is never {value!r}{hint}")


def _check_values(
    source: Source,
    settings: StudySettings,
    tasks: Sequence[NamedTask],
    architectures: Sequence[NamedArchitecture],
    parameter: Parameter,
) -> None:
    """Makes a run of each value (of a range its ends and one between), to see whether it can be."""
    head, _, option = parameter.path.partition(".")
    for each in architectures:
        options = unvaried(settings, each)[ARCHITECTURE]
        if head == ARCHITECTURE and option not in options:
            source.complain(
                ("space", parameter.path),
                f"{each.label} has no option {option!r}{nearest(option, options)}; "
                "name those that have it: when: {architecture: …}",
            )
            return
    for task, architecture in itertools.product(tasks, architectures):
        for n, value in _samples(parameter):
            place = ("space", parameter.path, parameter.scale, *(() if n is None else (n,)))
            inner = source.inside(place, source.problems)
            make_run(inner, settings, task, architecture, {parameter.path: value})


def _samples(parameter: Parameter) -> list[tuple[int | None, Any]]:
    """Values with their index in the file, None for those that stand between."""
    ends = list(enumerate(parameter.values))
    if parameter.scale == "choice":
        return [*ends]
    low, high = parameter.values
    if "integer" not in parameter.scale:
        return [*ends, (None, low + (high - low) * 0.3819)]
    between = range(low + 1, high) if high - low < WHOLE_RANGE else [(low + high) // 2]
    return [*ends, *((None, value) for value in between)]
