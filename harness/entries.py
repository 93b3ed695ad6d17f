"""What a suite lists: its tasks and its architectures, each with settings of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lengthwise.harness import plugins
from lengthwise.harness.plan import Choice
from lengthwise.harness.settings import EvaluateSettings, ModelSettings, Settings, TrainSettings
from lengthwise.harness.source import Path, Source, nearest
from lengthwise.harness.validation import choice, named_choice, validated

TASK_SETTINGS: dict[str, type[Settings]] = {"train": TrainSettings, "evaluate": EvaluateSettings}
"""What a task may set for itself."""
ARCHITECTURE_SETTINGS: dict[str, type[Settings]] = {"train": TrainSettings, "model": ModelSettings}
"""What an architecture may set for itself."""
TASK_FIELDS = ("label", "task", *TASK_SETTINGS)
ARCHITECTURE_FIELDS = ("label", "mixer", "mixers", *ARCHITECTURE_SETTINGS)
"""The long forms."""

Own = dict[str, dict[str, Any]]
"""`train` and the like -> the fields that are set there, as plain data."""


@dataclass(frozen=True)
class NamedTask:
    """A task under the label that panels carry, and where it stands in the file."""

    label: str
    choice: Choice
    own: Own
    """What it is trained and tested with instead of the suite's settings."""
    path: Path


@dataclass(frozen=True)
class NamedArchitecture:
    """Mixers that the layers take in turn, under the label that curves carry."""

    label: str
    mixers: tuple[Choice, ...]
    own: Own
    """What it is trained with, and what surrounds its mixers, instead of the suite's settings."""
    path: Path


def task_of(source: Source, raw: Any, path: Path) -> NamedTask | None:
    """A task as it is written, or None after recording what is wrong."""
    label, own, at = None, {name: {} for name in TASK_SETTINGS}, path
    if isinstance(raw, dict) and "name" in raw:
        label = raw.get("label")
        raw = {key: value for key, value in raw.items() if key != "label"}
    elif isinstance(raw, dict) and raw.keys() & set(TASK_FIELDS):
        label, own = raw.get("label"), _own(source, raw, path, TASK_FIELDS, TASK_SETTINGS)
        if "task" not in raw:
            source.complain(path, "needs task: its name or {name: {options}}")
            return None
        raw, at = raw["task"], (*path, "task")
    chosen = _chosen_task(source, raw, at)
    if chosen is None or own is None:
        return None
    return NamedTask(str(label or _short(chosen.name)), chosen, own, path)


def architecture_of(source: Source, raw: Any, path: Path) -> NamedArchitecture | None:
    """An architecture as it is written, or None after recording what is wrong."""
    label, own = None, {name: {} for name in ARCHITECTURE_SETTINGS}
    listed: list[tuple[Any, Path]] = [(raw, path)]
    if isinstance(raw, dict) and raw.keys() & set(ARCHITECTURE_FIELDS):
        label = raw.get("label")
        own = _own(source, raw, path, ARCHITECTURE_FIELDS, ARCHITECTURE_SETTINGS)
        mixers = raw.get("mixers", [raw["mixer"]] if "mixer" in raw else [])
        if not isinstance(mixers, list) or not mixers or {"mixer", "mixers"} <= raw.keys():
            source.complain(path, "needs either mixer: one, or mixers: [one a layer, …]")
            return None
        place = (*path, "mixers")
        listed = [(each, (*place, n)) for n, each in enumerate(mixers)]
        if "mixer" in raw:
            listed = [(raw["mixer"], (*path, "mixer"))]
    chosen = [named_choice(source, plugins.MIXER, each, at) for each, at in listed]
    if None in chosen or own is None:
        return None
    found = tuple(each for each in chosen if each)
    label = label or "+".join(_short(each.name) for each in found)
    return NamedArchitecture(str(label), found, own, path)


def _own(
    source: Source,
    raw: dict[str, Any],
    path: Path,
    fields: tuple[str, ...],
    settings: Mapping[str, type[Settings]],
) -> Own | None:
    """What a long form sets for itself, checked; unknown fields beside it are recorded."""
    for key in raw.keys() - set(fields):
        source.complain((*path, key), f"unknown field{nearest(key, fields)}")
    own = {name: {} if raw.get(name) is None else raw[name] for name in settings}
    checked = [
        validated(source, model, own[name], (*path, name)) for name, model in settings.items()
    ]
    return None if None in checked else own


def _chosen_task(source: Source, raw: Any, path: Path) -> Choice | None:
    """A task written as `name`, `{name: {options}}` or `{name: its name, options}`."""
    if not isinstance(raw, dict) or "name" not in raw:
        return named_choice(source, plugins.TASK, raw, path)
    options = {key: value for key, value in raw.items() if key != "name"}
    return choice(source, plugins.TASK, raw["name"], options, (*path, "name"), path)


def _short(name: str) -> str:
    """The class of a dotted path, else the name itself."""
    return name.rpartition(":")[2]
