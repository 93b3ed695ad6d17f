"""From a study file to a checked study: every field, every end of every range, before any work."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from lengthwise.harness.entries import NamedArchitecture, NamedTask
from lengthwise.harness.plan import RESULT_VERSION, Run
from lengthwise.harness.source import Source
from lengthwise.harness.suite import parts, read_with
from lengthwise.harness.sweep import DEFAULT_SEEDS, make_run, unvaried
from lengthwise.harness.tune.objective import Objective, objectives_of
from lengthwise.harness.tune.settings import StudySettings
from lengthwise.harness.tune.space import Parameter, default_values, space_of


@dataclass(frozen=True)
class Contender:
    """An architecture and what may vary of it: one study of Optuna's."""

    architecture: NamedArchitecture
    parameters: tuple[Parameter, ...]
    default: dict[str, Any]
    """What the file says without the space, by path."""

    @property
    def label(self) -> str:
        return self.architecture.label

    @property
    def default_is_inside(self) -> bool:
        """Whether the default setting is one that the space holds."""
        return all(
            each.holds(self.default[each.path])
            for each in self.parameters
            if each.path in self.default
        )


@dataclass(frozen=True)
class Study:
    """A checked study file."""

    name: str
    file: FilePath
    text: str
    overrides: tuple[str, ...]
    data: dict[str, Any]
    """The file as plain data, with the overrides."""
    settings: StudySettings
    tasks: tuple[NamedTask, ...]
    contenders: tuple[Contender, ...]
    objectives: tuple[Objective, ...]

    @property
    def pruner(self) -> str:
        return self.settings.pruner or ("median" if len(self.objectives) == 1 else "none")

    @property
    def test_seeds(self) -> list[int]:
        return self.settings.sweep.get("seed", DEFAULT_SEEDS)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that a trial is measured at on validation examples, ascending."""
        named = {each.options.get("length") for each in self.objectives}
        whole = any(each.name in ("area", "effective_length") for each in self.objectives)
        return tuple(n for n in self.settings.evaluate.lengths if whole or n in named) or (
            self.settings.evaluate.lengths[0],
        )

    def runs(
        self, contender: Contender, values: Mapping[str, Any], seeds: Iterable[int]
    ) -> list[Run]:
        """The runs of one setting: every task with every seed.

        Raises:
            ValueError: the values do not go together.
        """
        source = Source(None, {(): contender.label})
        made = [
            make_run(source, self.settings, task, contender.architecture, {**values, "seed": seed})
            for task in self.tasks
            for seed in seeds
        ]
        if source.problems:
            raise ValueError("\n".join(dict.fromkeys(source.problems)))
        return [run for run in made if run]

    def definition(self, contender: Contender) -> dict[str, Any]:
        """All that decides what a trial's value means, as plain data."""
        unchanged = unvaried(self.settings, contender.architecture)
        evaluate = {"examples": self.settings.evaluate.examples, "lengths": list(self.lengths)}
        defined = {
            "space": {each.path: each.to_json() for each in contender.parameters},
            "objective": {each.name: each.options for each in self.objectives},
            "budget": {"seeds": self.settings.budget.seeds},
            "evaluate": evaluate,
            "tasks": {each.label: each.choice.identity() for each in self.tasks},
            "mixers": [each.identity() for each in contender.architecture.mixers],
            "model": unchanged["model"],
            "train": unchanged["train"],
            "results version": RESULT_VERSION,
        }
        return json.loads(json.dumps(defined))


def load_study(file: FilePath, overrides: Iterable[str] = ()) -> Study:
    """Reads and checks a study file.

    Raises:
        InputError: anything is wrong with it; one line a problem, with file, line and column.
    """
    overrides = tuple(overrides)
    source = read_with(file, overrides)
    settings, tasks, architectures = parts(source, StudySettings)
    _check_sweep(source, settings)
    for task in tasks:
        for name in (name for name, own in task.own.items() if own):
            message = "a study trains and tests every task alike; leave it out"
            source.complain((*task.path, name), message)
    source.check()
    objectives = objectives_of(source, settings)
    spaces = space_of(source, settings, tasks, architectures)
    source.check()
    for label, parameters in spaces.items():
        _check_grid(source, settings, label, parameters)
    source.check()
    return Study(
        name=settings.name,
        file=file,
        text=source.text,
        overrides=overrides,
        data=source.data,
        settings=settings,
        tasks=tuple(tasks),
        contenders=tuple(
            Contender(each, spaces[each.label], default_values(settings, each, spaces[each.label]))
            for each in architectures
        ),
        objectives=objectives,
    )


def _check_sweep(source: Source, settings: StudySettings) -> None:
    for path in settings.sweep:
        if path != "seed":
            source.complain(("sweep", path), "a study sweeps seeds alone; put it into the space")
    if settings.report.best_over:
        source.complain(("report", "best_over"), "a study chooses by its space; leave it out")
    tested = settings.sweep.get("seed", DEFAULT_SEEDS)
    for n, seed in enumerate(settings.budget.seeds):
        place = ("budget", "seeds", n)
        if seed in settings.budget.seeds[:n]:
            source.complain(place, f"{seed} stands twice")
        if seed in tested:
            source.complain(place, f"{seed} is a seed of the test (sweep.seed); take another")


def _check_grid(
    source: Source, settings: StudySettings, label: str, parameters: tuple[Parameter, ...]
) -> None:
    if settings.sampler != "grid":
        return
    for each in parameters:
        if math.isinf(each.size):
            message = "a grid has no end of a range's numbers; write choice or integer"
            source.complain(("space", each.path), message)
        if set(each.when) - {"architecture"}:
            source.complain(("space", each.path, "when"), "a grid knows no conditions")
    points = math.prod(each.size for each in parameters)
    if settings.budget.trials > points:
        message = f"{settings.budget.trials} are more than the {points} points of {label}'s grid"
        source.complain(("budget", "trials"), message)
