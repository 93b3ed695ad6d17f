"""A YAML file read together with the place of everything in it, so that errors can point there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the file to a value."""

MAX_VALUES = 100_000
"""Values a file may hold once its aliases are written out; a few lines could ask for billions."""
MAX_DEPTH = 50


class InputError(Exception):
    """The input is wrong; the message has one line a problem, each with its place."""


@dataclass
class Source:
    """Plain data and where each value stands."""

    data: Any
    places: dict[Path, str]
    """Path of a value -> "file:line:column", or the option that set it."""
    text: str = ""
    """The YAML itself."""
    problems: list[str] = field(default_factory=list)

    def complain(self, path: Path, message: str) -> None:
        """Records a problem with the value at a path."""
        name = ".".join(map(str, path))
        self.problems.append(f"{self.place(path)}: {f'{name}: ' if name else ''}{message}")

    def place(self, path: Path) -> str:
        """The place of a value, or of the innermost thing around it that stands in the file."""
        return next(
            self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places
        )

    def inside(self, path: Path, problems: list[str]) -> "Source":
        """A view in which everything stands at one place of this file, with its own problems."""
        return Source(None, {(): self.place(path)}, problems=problems)

    def check(self) -> None:
        """Raises an InputError with every problem recorded so far, if there is one."""
        if self.problems:
            raise InputError("\n".join(dict.fromkeys(self.problems)))

    def override(self, assignment: str) -> None:
        """Sets one value from "path.to.field=value", the value read as YAML.

        Raises:
            InputError: the text is not of that form, or the path leads through a non-mapping.
        """
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise InputError(f"--set {assignment}: write it as --set path.to.field=value")
        # The path of a swept or tuned field is one key: sweep.train.optimizer.lr.
        parts = dotted.split(".", 1 if dotted.startswith(("sweep.", "space.")) else -1)
        path = tuple(int(part) if part.isdecimal() else part for part in parts)
        place = f"--set {assignment}"
        try:
            value = _Reader("the value").read(text).data
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        holder = self.data
        for depth, part in enumerate(path[:-1]):
            if isinstance(holder, dict) and isinstance(part, str):
                holder = holder.setdefault(part, {})
                self.places.setdefault(path[: depth + 1], place)
            elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
                holder = holder[part]
            else:
                raise InputError(f"{place}: there is no {'.'.join(map(str, path[: depth + 1]))}")
        last = path[-1]
        if isinstance(holder, dict):
            holder[str(last)] = value
        elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
            holder[last] = value
        else:
            raise InputError(f"{place}: there is no {dotted}")
        self.places = {key: at for key, at in self.places.items() if key[: len(path)] != path}
        self.places[path] = place


def read(path: FilePath) -> Source:
    """Reads a YAML file.

    Raises:
        InputError: it cannot be read, is empty, is not YAML, repeats a key, or holds too much.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}") from None
    source = _Reader(str(path)).read(text)
    if source.data is None:
        raise InputError(
            f"{path}: the file is empty; it must hold a suite (see `lengthwise schema`)"
        )
    return source


def nearest(word: str, allowed: Iterable[str]) -> str:
    """ " (did you mean …?)" when a spelling is near, and what is allowed.

    >>> nearest("lrr", ["lr", "name"])
    " (did you mean 'lr'?); allowed: lr, name"
    """
    allowed = list(allowed)
    near = get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{hint}; allowed: {', '.join(allowed)}"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, reading 1e-3 as the number it is to people (YAML 1.2, not 1.1)."""


# YAML 1.1 also takes yes, no, on and off for truth, and 2026-01-02 for a date: here they are text.
_TOO_EAGER = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] not in _TOO_EAGER]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_TOO_EAGER[0], re.compile(r"^(true|false)$", re.I), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path, str] = {}
        self.values = 0

    def read(self, text: str) -> Source:
        loader = _Loader(text)
        loader.name = self.name
        try:
            node = loader.get_single_node()
            data = None if node is None else self._value(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self.name if mark is None else self._place(mark)
            raise InputError(f"{place}: not YAML: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(f"{self.name}: not YAML: {error}") from None
        except RecursionError:
            raise InputError(f"{self.name}: not YAML: nested too deeply") from None
        finally:
            loader.dispose()
        self.places.setdefault((), self.name)
        return Source(data, self.places, text)

    def _place(self, mark: yaml.Mark) -> str:
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}"

    def _value(self, loader: _Loader, node: yaml.Node, path: Path) -> Any:
        self.values += 1
        place = self._place(node.start_mark)
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise InputError(
                f"{place}: more than {MAX_VALUES:,} values or {MAX_DEPTH} levels once the aliases "
                "are written out; write the file without them"
            )
        self.places.setdefault(path, place)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, each, (*path, n)) for n, each in enumerate(node.value)]
        return loader.construct_object(node)

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node.start_mark)
            if key_node.tag == "tag:yaml.org,2002:merge":
                value = self._value(loader, value_node, path)
                each_merged = value if isinstance(value, list) else [value]
                if not all(isinstance(each, dict) for each in each_merged):
                    raise InputError(f"{place}: << must bring a mapping, not {value!r}")
                for each in reversed(each_merged):
                    merged |= each
                continue
            key = str(loader.construct_object(key_node))
            if key in data:
                raise InputError(f"{place}: the key {key!r} stands twice")
            value = self._value(loader, value_node, (*path, key))
            self.places[(*path, key)] = place
            data[key] = value
        return merged | data
