"""Putting one plug-in, whatever its kind, through its laws."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from lengthwise.harness import plugins
from lengthwise.harness.laws import MIXER_LAWS, TASK_LAWS, verdicts
from lengthwise.harness.source import InputError
from lengthwise.harness.validation import chosen_with


def check_plugin(
    name: str, assignments: Iterable[str], length: int, width: int
) -> Iterator[tuple[str, str]]:
    """(law, "" or how it is broken) for a mixer or a task by name.

    Args:
        name: a mixer's or a task's name, or a dotted path.
        assignments: its options as "name=value".
        length: tokens in a task's examples.
        width: the width that a mixer is made for.

    Raises:
        InputError: there is no such plug-in, an option of it is wrong, or the task cannot fill
            the length.
    """
    kind = _kind_of(name)
    chosen = chosen_with(kind, name, assignments)
    try:
        if kind is plugins.MIXER:
            make = partial(chosen.plugin, width, **chosen.options)
            make()
            return verdicts(MIXER_LAWS, make, width)
        task = chosen.plugin(**chosen.options)
        task.check_length(length)
        return verdicts(TASK_LAWS, task, length)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def _kind_of(name: str) -> plugins.Kind:
    plugins.search(Path.cwd())
    reasons: list[str] = []
    for kind in (plugins.MIXER, plugins.TASK):
        try:
            plugins.find(kind, name)
        except plugins.PluginError as error:
            reasons.append(str(error))
        else:
            return kind
    raise InputError("\n".join(reasons))
