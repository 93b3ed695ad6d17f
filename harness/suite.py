"""From a YAML file to a checked suite: every field, option, length and model, before any work."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from lengthwise.harness import plugins
from lengthwise.harness.plan import Run
from lengthwise.harness.settings import ModelSettings, SuiteSettings, TrainSettings
from lengthwise.harness.source import Path, Source, nearest, read
from lengthwise.harness.sweep import NamedArchitecture, NamedTask, leaves, sweep
from lengthwise.harness.validation import choice, named_choice, validated

ARCHITECTURE_FIELDS = ("label", "mixer", "mixers", "train", "model")
"""The long form of an architecture."""
OWN_SETTINGS = {"train": TrainSettings, "model": ModelSettings}
"""What an architecture may set for itself."""
Made = TypeVar("Made", bound=SuiteSettings)


@dataclass(frozen=True)
class Suite:
    """A checked suite file."""

    name: str
    file: FilePath
    text: str
    """The exact YAML."""
    overrides: tuple[str, ...]
    """Assignments that went before it."""
    settings: SuiteSettings
    runs: tuple[Run, ...]
    """Every run it asks for."""


def load_suite(file: FilePath, overrides: Iterable[str] = ()) -> Suite:
    """Reads and checks a suite file.

    Args:
        file: the YAML file.
        overrides: assignments "path.to.field=value" that go before what the file says.

    Raises:
        InputError: anything is wrong with it; one line a problem, with file, line and column.
    """
    overrides = tuple(overrides)
    source = read_with(file, overrides)
    settings, tasks, architectures = parts(source, SuiteSettings)
    _check_overrides(source, settings, architectures, overrides)
    runs = sweep(source, settings, tasks, architectures)
    source.check()
    return Suite(settings.name, file, source.text, overrides, settings, tuple(runs))


def read_with(file: FilePath, overrides: Iterable[str]) -> Source:
    """Reads a file with assignments that go before what it says; dotted paths are searched beside
    it and in the current folder.

    Raises:
        InputError: it cannot be read, or an assignment leads nowhere.
    """
    source = read(file)
    plugins.search(file.parent, FilePath.cwd())
    for assignment in overrides:
        source.override(assignment)
        _give_way(source, assignment.partition("=")[0].split("."))
    _name_the_only_task(source)
    return source


def parts(
    source: Source, model: type[Made]
) -> tuple[Made, list[NamedTask], list[NamedArchitecture]]:
    """The checked settings of a suite, or of what is a suite and more, its tasks and architectures.

    Raises:
        InputError: anything is wrong with them.
    """
    settings = validated(source, model, source.data, ())
    source.check()
    assert settings is not None
    tasks = [_task(source, raw, ("tasks", n)) for n, raw in enumerate(settings.tasks)]
    architectures = [
        _architecture(source, raw, ("architectures", n))
        for n, raw in enumerate(settings.architectures)
    ]
    for field, named in (("tasks", tasks), ("architectures", architectures)):
        _check_labels(source, field, [each.label if each else "" for each in named])
    source.check()
    return settings, [each for each in tasks if each], [each for each in architectures if each]


def _give_way(source: Source, path: list[str]) -> None:
    """Takes a field of `train` or `model` that --set sets for all out of what architectures set
    for themselves."""
    raw = source.data.get("architectures") if isinstance(source.data, dict) else None
    for holder in raw if path[0] in OWN_SETTINGS and isinstance(raw, list) else ():
        for part in path[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(path[-1], None)


def _name_the_only_task(source: Source) -> None:
    """`task: x` is short for `tasks: [x]`."""
    if not isinstance(source.data, dict) or "task" not in source.data:
        return
    if "tasks" in source.data:
        source.complain(("task",), "write either task or tasks, not both")
        source.check()
    source.data["tasks"] = [source.data.pop("task")]
    moved = {
        ("tasks", 0, *key[1:]): at for key, at in source.places.items() if key[:1] == ("task",)
    }
    source.places = {("tasks",): source.place(("task",))} | moved | source.places


def _task(source: Source, raw: Any, path: Path) -> NamedTask | None:
    if isinstance(raw, str):
        raw = {"name": raw}
    if not isinstance(raw, dict) or "name" not in raw:
        source.complain(path, f"must be a task's name or {{name: …, options}}, not {raw!r}")
        return None
    options = {key: value for key, value in raw.items() if key not in ("name", "label")}
    chosen = choice(source, plugins.TASK, raw["name"], options, (*path, "name"), path)
    return chosen and NamedTask(str(raw.get("label", _short(raw["name"]))), chosen, path)


def _architecture(source: Source, raw: Any, path: Path) -> NamedArchitecture | None:
    label: str | None = None
    own: dict[str, dict[str, Any]] = {name: {} for name in OWN_SETTINGS}
    listed: list[tuple[Any, Path]] = [(raw, path)]
    if isinstance(raw, dict) and raw.keys() & ARCHITECTURE_FIELDS:
        for key in raw.keys() - set(ARCHITECTURE_FIELDS):
            source.complain((*path, key), f"unknown field{nearest(key, ARCHITECTURE_FIELDS)}")
        label = raw.get("label")
        own = {name: {} if raw.get(name) is None else raw[name] for name in OWN_SETTINGS}
        if None in [
            validated(source, model, own[name], (*path, name))
            for name, model in OWN_SETTINGS.items()
        ]:
            return None
        mixers = raw.get("mixers", [raw["mixer"]] if "mixer" in raw else [])
        if not isinstance(mixers, list) or not mixers or {"mixer", "mixers"} <= raw.keys():
            source.complain(path, "needs either mixer: one, or mixers: [one a layer, …]")
            return None
        place = (*path, "mixers")
        listed = [(each, (*place, n)) for n, each in enumerate(mixers)]
        if "mixer" in raw:
            listed = [(raw["mixer"], (*path, "mixer"))]
    chosen = [named_choice(source, plugins.MIXER, each, at) for each, at in listed]
    if None in chosen:
        return None
    found = tuple(each for each in chosen if each)
    label = label or "+".join(_short(each.name) for each in found)
    return NamedArchitecture(str(label), found, **own, path=path)


def _check_overrides(
    source: Source,
    settings: SuiteSettings,
    architectures: Iterable[NamedArchitecture],
    overrides: Iterable[str],
) -> None:
    """Refuses a value that another one, nearer to the runs, would silently replace."""
    for assignment in overrides:
        path = assignment.partition("=")[0]
        if path in settings.sweep:
            hint = f"{path} is swept; set sweep.{path} to a list instead"
            source.complain(tuple(path.split(".")), hint)
    for architecture in architectures:
        own = {"train": architecture.train, "model": architecture.model}
        for path in (path for name, each in own.items() for path in leaves(each, name)):
            place = (*architecture.path, *path.split("."))
            if path in settings.sweep:
                source.complain(place, f"{path} is also swept; leave one of them out")


def _short(name: Any) -> str:
    """The class of a dotted path, else the name itself."""
    return str(name).rpartition(":")[2]


def _check_labels(source: Source, field: str, labels: list[str]) -> None:
    for n, label in enumerate(labels):
        if label and label in labels[:n]:
            source.complain(
                (field, n), f"a second {label!r}; give it a label of its own (label: …)"
            )
