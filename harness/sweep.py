"""From checked settings to runs: tasks × architectures × every combination of swept values."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import yaml
from lengthwise.harness import plugins
from lengthwise.harness.entries import NamedArchitecture, NamedTask
from lengthwise.harness.plan import Run
from lengthwise.harness.settings import (
    EvaluateSettings,
    ModelSettings,
    Settings,
    SuiteSettings,
    TrainSettings,
)
from lengthwise.harness.source import Path, Source, nearest
from lengthwise.harness.validation import choice, named_choice, validated
from pydantic import NonNegativeInt

DEFAULT_SEEDS = [0, 1, 2]
Made = TypeVar("Made")


class RunSettings(Settings):
    """What a sweep may vary beside the options of task and mixer."""

    seed: NonNegativeInt
    model: ModelSettings
    train: TrainSettings


def sweep(
    source: Source,
    settings: SuiteSettings,
    tasks: Sequence[NamedTask],
    architectures: Sequence[NamedArchitecture],
) -> list[Run]:
    """Every run; problems are recorded in the source, a swept value's at its place in the file."""
    swept = {"seed": DEFAULT_SEEDS, **settings.sweep}
    _check_sweep(source, settings)
    combinations = [
        dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())
    ]
    runs: list[Run] = []
    for task, architecture in itertools.product(tasks, architectures):
        problems: list[str] = []
        inner = source.inside(("sweep",), problems)
        made = [make_run(inner, settings, task, architecture, each) for each in combinations]
        runs += [run for run in made if run]
        if None in made:
            wrong = [each for each, run in zip(combinations, made, strict=True) if run is None]
            right = [each for each, run in zip(combinations, made, strict=True) if run]
            located = _located(source, settings, task, architecture, wrong, right)
            source.problems += located or problems
    return runs


def _check_sweep(source: Source, settings: SuiteSettings) -> None:
    for path, values in settings.sweep.items():
        for n, value in enumerate(values):
            if value in values[:n]:
                source.complain(("sweep", path, n), f"{value!r} stands twice")
    for n, path in enumerate(settings.report.best_over):
        place = ("report", "best_over", n)
        if path == "seed":
            source.complain(place, "seeds are averaged, never chosen")
        elif path not in settings.sweep:
            source.complain(place, f"{path!r} is not swept{nearest(path, settings.sweep)}")


def _located(
    source: Source,
    settings: SuiteSettings,
    task: NamedTask,
    architecture: NamedArchitecture,
    wrong: Sequence[dict[str, Any]],
    right: Sequence[dict[str, Any]],
) -> list[str]:
    """The problems of what the file says without the sweep, when no combination is right; else of
    each swept value that only stands in wrong ones, at its place."""
    problems: list[str] = []
    view = Source(source.data, source.places, problems=problems)
    if not right and make_run(view, settings, task, architecture, {}) is None:
        return problems
    for path, values in settings.sweep.items():
        for n, value in enumerate(values):
            if any(each[path] == value for each in right):
                continue
            example = next(each for each in wrong if each[path] == value)
            values_to_blame = example if right else {path: value}
            inner = source.inside(("sweep", path, n), problems)
            make_run(inner, settings, task, architecture, values_to_blame)
    return problems


def make_run(
    source: Source,
    settings: SuiteSettings,
    task: NamedTask,
    architecture: NamedArchitecture,
    values: dict[str, Any],
) -> Run | None:
    """The run that the values, by path, make of the settings, or None after recording what is
    wrong."""
    draft = unvaried(settings, architecture)
    draft |= {"task": task.choice.options, "train": merged(draft["train"], task.own["train"])}
    problems = len(source.problems)
    for path, value in values.items():
        draft = _assigned(source, draft, path.split("."), value, path)
    options, mixer_options = draft.pop("task"), draft.pop("architecture")
    checked = validated(source, RunSettings, draft, ())
    chosen = choice(source, plugins.TASK, task.choice.name, options, task.path, task.path)
    mixers = architecture.mixers
    if len(mixers) == 1:
        name, at = mixers[0].name, architecture.path
        mixer = choice(source, plugins.MIXER, name, mixer_options, at, (*at, name))
        mixers = (mixer,) if mixer else ()
    if checked is None or chosen is None or len(source.problems) > problems:
        return None
    at = ("model", "channel_mixer")
    raw = checked.model.channel_mixer
    channel_mixer = None if raw is None else named_choice(source, plugins.CHANNEL_MIXER, raw, at)
    best_over = settings.report.best_over
    run = Run(
        task=chosen,
        task_label=task.label,
        mixers=mixers,
        architecture=architecture.label,
        channel_mixer=channel_mixer,
        width=checked.model.width,
        layers=checked.model.layers,
        train=checked.train,
        seed=checked.seed,
        setting=_describe(values, lambda path: path in best_over),
        variant=_describe(values, lambda path: path not in best_over and path != "seed"),
        tie_embeddings=checked.model.tie_embeddings,
        evaluate=EvaluateSettings(**settings.evaluate.model_dump() | task.own["evaluate"]),
    )
    _check(source, run, task, architecture)
    return None if len(source.problems) > problems else run


def unvaried(settings: SuiteSettings, architecture: NamedArchitecture) -> dict[str, Any]:
    """What an architecture is built and trained with unless something is varied, as plain data."""
    single = len(architecture.mixers) == 1
    return {
        "seed": 0,
        "model": merged(settings.model.model_dump(), architecture.own["model"]),
        "train": merged(settings.train.model_dump(), architecture.own["train"]),
        "architecture": architecture.mixers[0].options if single else {},
    }


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The settings with some replaced, at any depth.

    >>> merged({"optimizer": {"lr": 1e-3, "name": "adamw"}}, {"optimizer": {"lr": 1e-2}})
    {'optimizer': {'lr': 0.01, 'name': 'adamw'}}
    """
    deeper = {
        name: merged(settings[name], value)
        for name, value in changes.items()
        if isinstance(value, dict) and isinstance(settings.get(name), dict)
    }
    return settings | changes | deeper


def leaves(data: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted paths of the values in nested mappings.

    >>> list(leaves({"train": {"optimizer": {"lr": 1e-3}, "length": 64}}))
    ['train.optimizer.lr', 'train.length']
    """
    for name, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _assigned(
    source: Source, draft: dict[str, Any], parts: list[str], value: Any, path: str
) -> dict[str, Any]:
    """A copy of the draft with one value replaced; a path that leads nowhere is a problem."""
    head, *rest = parts
    if head not in draft:
        hint = nearest(head, draft) if draft else "; a hybrid has no options to vary"
        source.complain((), f"cannot vary {path!r}: unknown field {head!r}{hint}")
        return draft
    if not rest:
        return draft | {head: value}
    if not isinstance(draft[head], dict):
        source.complain((), f"cannot vary {path!r}: {head} holds no fields")
        return draft
    return draft | {head: _assigned(source, draft[head], rest, value, path)}


def _check(
    source: Source, run: Run, named_task: NamedTask, architecture: NamedArchitecture
) -> None:
    """Whether the task can be made, filled at every length, and the model be built for each."""
    train, task_path, architecture_path = run.train, named_task.path, architecture.path

    def place(name: str, section: str = "train") -> Path:
        holders = [each for each in (named_task, architecture) if name in each.own.get(section, ())]
        return (*(holders[0].path if holders else ()), section, name)

    if train.batch_size > train.examples:
        message = f"{train.batch_size} is more than the {train.examples} training examples"
        source.complain(place("batch_size"), message)
    elif train.warmup_steps >= train.steps:
        message = f"{train.warmup_steps} is not less than the {train.steps} steps of training"
        source.complain(place("warmup_steps"), message)
    if len(run.mixers) > run.layers:
        message = f"{len(run.mixers)} mixers are more than the {run.layers} layers"
        source.complain((*architecture_path, "mixers"), message)
    task = _attempt(source, task_path, run.make_task)
    if task is None:
        return
    wanted: list[tuple[int, Path]] = [(train.length, place("length"))]
    lengths = place("lengths", "evaluate")
    wanted += [(length, (*lengths, n)) for n, length in enumerate(run.evaluate.lengths)]
    for length, at in wanted:
        _attempt(source, at, lambda length=length: task.check_length(length), run.task_label)
    if _attempt(source, architecture_path, lambda: run.id) is None:
        return
    looked_at = (run.shape, *(length for length, _ in wanted))
    if looked_at in _buildable:
        return
    model = _attempt(source, architecture_path, run.make_model)
    if model is None:
        return
    problems = len(source.problems)
    for length, at in wanted:
        _attempt(source, at, lambda length=length: model.state_bytes(length), run.architecture)
    if len(source.problems) == problems:
        _buildable.add(looked_at)


_buildable: set[tuple[str | int, ...]] = set()
"""Shape and lengths of models that have been built: other seeds and learning rates need no second
look."""


def _attempt(source: Source, path: Path, make: Callable[[], Made], prefix: str = "") -> Made | None:
    try:
        return make()
    except ValueError as error:
        source.complain(path, f"{prefix}: {error}" if prefix else str(error))
    except Exception as error:
        source.complain(path, f"cannot be made: {type(error).__name__}: {error}")
    return None


def _describe(values: dict[str, Any], wanted: Callable[[str], bool]) -> str:
    """ "lr=0.003" for {"train.optimizer.lr": 3e-3}: values as YAML writes them."""
    chosen = {path: value for path, value in values.items() if wanted(path)}
    short = {path: path.rpartition(".")[2] for path in chosen}
    unique = len(set(short.values())) == len(short)
    return ", ".join(
        f"{short[path] if unique else path}={_yaml(value)}" for path, value in chosen.items()
    )


def _yaml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
