"""From checked settings to runs: tasks × architectures × every combination of swept values."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lengthwise.harness import plugins
from lengthwise.harness.plan import Choice, Run
from lengthwise.harness.settings import ModelSettings, Settings, SuiteSettings, TrainSettings
from lengthwise.harness.source import Path, Source, nearest
from lengthwise.harness.validation import choice, named_choice, validated
from pydantic import NonNegativeInt

DEFAULT_SEEDS = [0, 1, 2]
Made = TypeVar("Made")


@dataclass(frozen=True)
class NamedTask:
    """A task under the label that panels carry, and where it stands in the file."""

    label: str
    choice: Choice
    path: Path


@dataclass(frozen=True)
class NamedArchitecture:
    """Mixers that the layers take in turn, under the label that curves carry."""

    label: str
    mixers: tuple[Choice, ...]
    path: Path


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
    for n, path in enumerate(settings.report.best_over):
        if path not in settings.sweep:
            message = f"{path!r} is not swept{nearest(path, settings.sweep)}"
            source.complain(("report", "best_over", n), message)
    runs: list[Run] = []
    for task, architecture in itertools.product(tasks, architectures):
        if _run(source, settings, task, architecture, {}) is None:
            continue
        alone = [
            _run(source.inside(("sweep", path, n)), settings, task, architecture, {path: value})
            for path, values in swept.items()
            for n, value in enumerate(values)
        ]
        if None in alone:
            continue
        inner = source.inside(("sweep",))
        for values in itertools.product(*swept.values()):
            combination = dict(zip(swept, values, strict=True))
            run = _run(inner, settings, task, architecture, combination)
            runs += [run] if run else []
    return runs


def _run(
    source: Source,
    settings: SuiteSettings,
    task: NamedTask,
    architecture: NamedArchitecture,
    values: dict[str, Any],
) -> Run | None:
    """The run that the values make of the settings, or None after recording what is wrong."""
    draft: dict[str, Any] = {
        "seed": 0,
        "model": settings.model.model_dump(),
        "train": settings.train.model_dump(),
        "task": task.choice.options,
        "architecture": architecture.mixers[0].options if len(architecture.mixers) == 1 else {},
    }
    for path, value in values.items():
        draft = _assigned(source, draft, path.split("."), value, path)
    problems = len(source.problems)
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
    )
    _check(source, run, settings.evaluate.lengths, task.path, architecture.path)
    return None if len(source.problems) > problems else run


def _assigned(
    source: Source, draft: dict[str, Any], parts: list[str], value: Any, path: str
) -> dict[str, Any]:
    """A copy of the draft with one value replaced; a path that leads nowhere is a problem."""
    head, *rest = parts
    if head not in draft:
        source.complain((), f"cannot sweep {path!r}: unknown field {head!r}{nearest(head, draft)}")
        return draft
    if not rest:
        return draft | {head: value}
    if not isinstance(draft[head], dict):
        source.complain((), f"cannot sweep {path!r}: {head} holds no fields")
        return draft
    return draft | {head: _assigned(source, draft[head], rest, value, path)}


def _check(
    source: Source, run: Run, lengths: Sequence[int], task_path: Path, architecture_path: Path
) -> None:
    """Whether the task can be made, filled at every length, and the model be built."""
    train = run.train
    if train.batch_size > train.examples:
        message = f"{train.batch_size} is more than the {train.examples} training examples"
        source.complain(("train", "batch_size"), message)
    task = _attempt(source, task_path, run.make_task)
    if task is None:
        return
    wanted: list[tuple[int, Path]] = [(train.length, ("train", "length"))]
    wanted += [(length, ("evaluate", "lengths", n)) for n, length in enumerate(lengths)]
    for length, at in wanted:
        _attempt(source, at, lambda length=length: task.check_length(length), run.task_label)
    _attempt(source, architecture_path, run.make_model)


def _attempt(source: Source, path: Path, make: Callable[[], Made], prefix: str = "") -> Made | None:
    try:
        return make()
    except ValueError as error:
        source.complain(path, f"{prefix}: {error}" if prefix else str(error))
    except Exception as error:
        source.complain(path, f"cannot be made: {type(error).__name__}: {error}")
    return None


def _describe(values: dict[str, Any], wanted: Callable[[str], bool]) -> str:
    """ "lr=0.003" for {"train.optimizer.lr": 3e-3}."""
    return ", ".join(
        f"{path.rpartition('.')[2]}={value:g}"
        if isinstance(value, float)
        else f"{path.rpartition('.')[2]}={value}"
        for path, value in values.items()
        if wanted(path)
    )
