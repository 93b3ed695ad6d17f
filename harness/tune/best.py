"""What a study found: the chosen setting of each architecture, the suite it makes, the record."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
import yaml
from lengthwise.harness.entries import NamedArchitecture
from lengthwise.harness.plan import Run
from lengthwise.harness.report.tuning import DEFAULT, TUNED
from lengthwise.harness.settings import SuiteSettings
from lengthwise.harness.suite import Suite
from lengthwise.harness.sweep import merged
from lengthwise.harness.tune.batch import suggested
from lengthwise.harness.tune.bookkeeping import Book
from lengthwise.harness.tune.settings import StudySettings
from lengthwise.harness.tune.study import Contender, Study
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FixedTrial, FrozenTrial, TrialState


@dataclass(frozen=True)
class Chosen:
    """The best finished trial of an architecture."""

    trial: int
    values: dict[str, Any]
    """Its setting by path."""


def best(study: Study, contender: Contender, book: Book) -> Chosen | None:
    """The best finished trial by validation, of equals the first; None where none finished.

    With two objectives it is the one with the best first objective.
    """
    sign = -1 if study.objectives[0].direction == "maximize" else 1
    second = [-1 if each.direction == "maximize" else 1 for each in study.objectives[1:]]

    def order(trial: FrozenTrial) -> tuple[float, ...]:
        rest = [s * v for s, v in zip(second, trial.values[1:], strict=True)]
        return (sign * trial.values[0], *rest, trial.number)

    complete = [each for each in book.counted() if each.state == TrialState.COMPLETE]
    if not complete:
        return None
    trial = min(complete, key=order)
    return Chosen(trial.number, setting_of(trial, contender))


def setting_of(trial: FrozenTrial, contender: Contender) -> dict[str, Any]:
    """A trial's setting by path, in the order of the space; what was not asked for is left out."""
    known = [each for each in contender.parameters if each.path in trial.params]
    return suggested(FixedTrial(trial.params), known)


def final_suite(study: Study, chosen: Mapping[str, Chosen | None]) -> Suite:
    """What is tested: the default and the tuned setting of each architecture, over fresh seeds."""
    runs: list[Run] = []
    for contender in study.contenders:
        settings = {DEFAULT: contender.default}
        if found := chosen[contender.label]:
            settings[TUNED] = found.values
        for variant, values in settings.items():
            made = study.runs(contender, values, study.test_seeds)
            runs += [replace(run, setting="", variant=variant) for run in made]
    return Suite(study.name, study.file, study.text, study.overrides, study.settings, tuple(runs))


def best_yaml(study: Study, chosen: Mapping[str, Chosen | None]) -> str:
    """The suite of the chosen settings, complete by itself."""
    data = copy.deepcopy(study.data)
    for name in StudySettings.model_fields.keys() - SuiteSettings.model_fields.keys():
        data.pop(name, None)
    data["name"] = f"{study.name}-best"
    data["architectures"] = [_architecture(each, chosen[each.label]) for each in study.contenders]
    head = (
        f"# The settings that tuning {study.name!r} chose on validation examples: "
        f"{study.settings.budget.trials} trials each.\n"
    )
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _architecture(contender: Contender, chosen: Chosen | None) -> dict[str, Any]:
    architecture: NamedArchitecture = contender.architecture
    values = chosen.values if chosen else {}
    changes: dict[str, Any] = {}
    for path, value in values.items():
        nested: Any = value
        for part in reversed(path.split(".")):
            nested = {part: nested}
        changes = merged(changes, nested)
    mixers = [
        {each.name: each.options | changes.get("architecture", {})} for each in architecture.mixers
    ]
    own = {
        "train": merged(architecture.own["train"], changes.get("train", {})),
        "model": merged(architecture.own["model"], changes.get("model", {})),
    }
    return {
        "label": architecture.label,
        **({"mixer": mixers[0]} if len(mixers) == 1 else {"mixers": mixers}),
        **{name: each for name, each in own.items() if each},
    }


def record(study: Study, chosen: Mapping[str, Chosen | None], books: Mapping[str, Book]) -> Any:
    """All that the report says of a study, as plain data."""
    return {
        "objectives": [
            {
                "name": each.name,
                "options": each.options,
            }
            for each in study.objectives
        ],
        "budget": study.settings.budget.model_dump(),
        "sampler": study.settings.sampler,
        "pruner": study.pruner,
        "architectures": {
            each.label: {
                "space": {p.path: p.to_json() for p in each.parameters},
                "default": each.default,
                "chosen": (found := chosen[each.label])
                and {"trial": found.trial, "values": found.values},
                "importance": _importance(books[each.label].study),
                "trials": [_trial(trial, each) for trial in books[each.label].counted()],
            }
            for each in study.contenders
        },
    }


def _trial(trial: FrozenTrial, contender: Contender) -> dict[str, Any]:
    duration = trial.duration
    return {
        "trial": trial.number,
        "ended": trial.user_attrs.get("ended", trial.state.name.lower()),
        "setting": setting_of(trial, contender),
        "values": trial.values if trial.state == TrialState.COMPLETE else None,
        "by_seed": trial.user_attrs.get("by_seed", []),
        "steps": trial.user_attrs.get("steps"),
        "attempts": trial.user_attrs.get("attempts", 1),
        "error": trial.user_attrs.get("error", ""),
        "seconds": duration.total_seconds() if duration else None,
    }


def _importance(study: optuna.Study) -> dict[str, float]:
    """Each parameter's share in reaching the best quarter of the finished trials (PED-ANOVA,
    Watanabe et al., arXiv 2304.10255); empty where too few finished to say."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len({tuple(each.values) for each in complete}) < 2:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
    with warnings.catch_warnings():
        # The best quarter is everything, many trials being equal: then nothing can be said.
        warnings.filterwarnings("error", "Target and region quantiles", UserWarning)
        try:
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
        except UserWarning:
            return {}
