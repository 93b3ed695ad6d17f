"""Finding tasks, mixers and channel mixers by name, and checking the options given to them.

A name is the name of a built-in module (`mqar` is the task in tasks/mqar.py), an entry point of an
installed package in the group `lengthwise.tasks`, `lengthwise.mixers` or
`lengthwise.channel_mixers`, or a dotted path `package.module:Class`, also of a module beside the
suite file or in the current folder.
"""

import hashlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from lengthwise.architectures.mixer import ChannelMixer, Mixer
from lengthwise.harness.settings import Settings
from lengthwise.harness.source import nearest
from lengthwise.tasks.task import Task
from pydantic import create_model


@dataclass(frozen=True)
class Kind:
    """One kind of plug-in."""

    name: str
    package: str
    """Where the built-in ones live, one module each."""
    base: type
    group: str
    """Where installed packages announce theirs."""
    given: tuple[str, ...]
    """Leading constructor arguments that are not options."""


TASK = Kind("task", "lengthwise.tasks", Task, "lengthwise.tasks", ())
MIXER = Kind("mixer", "lengthwise.architectures", Mixer, "lengthwise.mixers", ("width",))
CHANNEL_MIXER = Kind(
    "channel mixer",
    "lengthwise.architectures",
    ChannelMixer,
    "lengthwise.channel_mixers",
    ("width",),
)


class PluginError(ValueError):
    """There is no plug-in of this name, or it is not what it should be."""


@cache
def built_in(kind: Kind) -> dict[str, type]:
    """The built-in plug-ins of a kind by name, in alphabetical order."""
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(import_module(kind.package).__path__):
        for each in _concrete(import_module(f"{kind.package}.{info.name}"), kind.base):
            found[info.name] = each
    return dict(sorted(found.items()))


def _concrete(module: Any, base: type) -> Iterator[type]:
    for each in vars(module).values():
        if (
            inspect.isclass(each)
            and issubclass(each, base)
            and not inspect.isabstract(each)
            and each.__module__ == module.__name__
        ):
            yield each


@cache
def announced(kind: Kind) -> dict[str, EntryPoint]:
    """The plug-ins of a kind that installed packages announce by entry point."""
    return {each.name: each for each in entry_points(group=kind.group)}


def names(kind: Kind) -> list[str]:
    """Every name that `find` knows without a dotted path."""
    return [*built_in(kind), *announced(kind)]


def find(kind: Kind, name: str) -> type:
    """The plug-in class of a name.

    Raises:
        PluginError: no such name, an import that fails, or a class of another kind.
    """
    if name in built_in(kind):
        return built_in(kind)[name]
    if name in announced(kind):
        found = _loaded(kind, name, announced(kind)[name].load)
    elif ":" in name:
        found = _by_path(kind, name)
    else:
        known = nearest(name, names(kind))
        raise PluginError(f"unknown {kind.name} {name!r}{known}, or package.module:Class")
    if not (inspect.isclass(found) and issubclass(found, kind.base)) or inspect.isabstract(found):
        raise PluginError(f"{name} is not a concrete subclass of {kind.base.__qualname__}")
    return found


def search(*folders: Path) -> None:
    """Lets dotted paths name modules in these folders, the first first, after what is installed."""
    _searched[:] = [str(folder.resolve()) for folder in folders]
    _ever_searched.update(_searched)
    sys.path[:] = [each for each in sys.path if each not in _searched] + _searched


_searched: list[str] = []
"""Folders of the last `search`."""
_ever_searched: set[str] = set()


def _loaded(kind: Kind, name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        raise PluginError(
            f"cannot import the {kind.name} {name!r}: {type(error).__name__}: {error}"
        ) from error


def _check_file(module: ModuleType) -> None:
    """Refuses a module that an earlier suite imported from a folder of its own."""
    inner = Path(*module.__name__.split("."))
    candidates = [
        Path(folder, file)
        for folder in _searched
        for file in (inner.with_suffix(".py"), inner / "__init__.py")
    ]
    expected = next((each.resolve() for each in candidates if each.exists()), None)
    found = Path(module.__file__ or "").resolve()
    if expected in (None, found) or not any(str(each) in _ever_searched for each in found.parents):
        return
    raise PluginError(
        f"{module.__name__} is already imported from {found}, not from {expected}; rename one, or "
        "run their suites one at a time"
    )


def _by_path(kind: Kind, name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    module = _loaded(kind, name, lambda: import_module(module_name))
    _check_file(module)
    if not hasattr(module, attribute):
        classes = [each for each in vars(module) if inspect.isclass(getattr(module, each))]
        raise PluginError(f"{module_name} has no {attribute!r}{nearest(attribute, classes)}")
    return getattr(module, attribute)


@cache
def options_model(kind: Kind, plugin: type) -> type[Settings]:
    """A pydantic model of the plug-in's options, made from its constructor's signature.

    Raises:
        PluginError: an annotation cannot be resolved or checked.
    """
    try:
        return _options_model(kind, plugin)
    except Exception as error:
        raise PluginError(
            f"the options of {plugin.__qualname__} cannot be checked; annotate them with types "
            f"that pydantic knows: {type(error).__name__}: {error}"
        ) from error


def _options_model(kind: Kind, plugin: type) -> type[Settings]:
    hints = get_type_hints(plugin.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(plugin).parameters.items():
        if name in kind.given or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    return create_model(plugin.__name__, __base__=Settings, **fields)


def digest(plugin: type) -> str:
    """A hash of the source file of somebody's own plug-in; "" for ours, which have a version.

    It is part of a run's identity: after an edit of the plug-in its runs are computed anew.
    """
    if plugin.__module__.startswith("lengthwise."):
        return ""
    file = inspect.getsourcefile(plugin)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""


def headline(plugin: type) -> str:
    """One line about a plug-in: of a built-in its module's first, else its class's.

    >>> headline(find(MIXER, "mamba"))
    'Mamba: a selective state space behind a short convolution, gated.'
    """
    ours = plugin.__module__.startswith("lengthwise.")
    text = inspect.getdoc(sys.modules[plugin.__module__] if ours else plugin) or ""
    return text.partition("\n")[0]
