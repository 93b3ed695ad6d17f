"""From a YAML file to a checked suite: every field, option, length and model, before any work."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from lengthwise.harness import plugins
from lengthwise.harness.entries import (
    ARCHITECTURE_SETTINGS,
    TASK_SETTINGS,
    NamedArchitecture,
    NamedTask,
    architecture_of,
    task_of,
)
from lengthwise.harness.plan import Run
from lengthwise.harness.settings import SuiteSettings
from lengthwise.harness.source import Source, read
from lengthwise.harness.sweep import leaves, sweep
from lengthwise.harness.validation import validated

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
    _check_overrides(source, settings, [*tasks, *architectures], overrides)
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
    tasks = [task_of(source, raw, ("tasks", n)) for n, raw in enumerate(settings.tasks)]
    architectures = [
        architecture_of(source, raw, ("architectures", n))
        for n, raw in enumerate(settings.architectures)
    ]
    for field, named in (("tasks", tasks), ("architectures", architectures)):
        _check_labels(source, field, [each.label if each else "" for each in named])
    source.check()
    found = [each for each in tasks if each], [each for each in architectures if each]
    _check_contradictions(source, *found)
    return settings, *found


def _give_way(source: Source, path: list[str]) -> None:
    """Takes a field of `train` or the like that --set sets for all out of what tasks and
    architectures set for themselves."""
    data = source.data if isinstance(source.data, dict) else {}
    listed: list[Any] = [data.get("task")]
    for field in ("tasks", "architectures"):
        listed += data[field] if isinstance(data.get(field), list) else []
    for holder in listed if path[0] in {*TASK_SETTINGS, *ARCHITECTURE_SETTINGS} else ():
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


def _check_overrides(
    source: Source,
    settings: SuiteSettings,
    entries: Iterable[NamedTask | NamedArchitecture],
    overrides: Iterable[str],
) -> None:
    """Refuses a value that another one, nearer to the runs, would silently replace."""
    for assignment in overrides:
        path = assignment.partition("=")[0]
        if path in settings.sweep:
            hint = f"{path} is swept; set sweep.{path} to a list instead"
            source.complain(tuple(path.split(".")), hint)
    for entry in entries:
        for path in leaves(entry.own):
            if path in settings.sweep:
                message = f"{path} is also swept; leave one of them out"
                source.complain((*entry.path, *path.split(".")), message)


def _check_contradictions(
    source: Source, tasks: Iterable[NamedTask], architectures: Iterable[NamedArchitecture]
) -> None:
    """Refuses a field that both a task and an architecture set for themselves."""
    by_task = {path: task.label for task in tasks for path in leaves(task.own)}
    for architecture in architectures:
        for path in leaves(architecture.own):
            if path in by_task:
                source.complain(
                    (*architecture.path, *path.split(".")),
                    f"{path} is also set by the task {by_task[path]!r}; leave one of them out",
                )


def _check_labels(source: Source, field: str, labels: list[str]) -> None:
    for n, label in enumerate(labels):
        if label and label in labels[:n]:
            source.complain(
                (field, n), f"a second {label!r}; give it a label of its own (label: …)"
            )
