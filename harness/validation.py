"""Holding plain data against pydantic models, with errors that name place, finding and remedy."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, TypeVar

from lengthwise.harness import plugins
from lengthwise.harness.plan import Choice
from lengthwise.harness.source import Path, Source, nearest
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def validated(source: Source, model: type[Model], raw: Any, path: Path) -> Model | None:
    """The model of the raw data that stands at a path, or None after recording its problems."""
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else repr(raw)
        source.complain(path, f"must be a mapping with the fields {_fields(model)}, not {found}")
        return None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        # Each member of a union complains of its own; the first that stands at a place is told.
        told: dict[Path, str] = {}
        for each in error.errors():
            missing = each["type"] == "missing"
            place = _location(raw, each["loc"], missing)
            told.setdefault(place, _message(model, each))
        for place, message in told.items():
            source.complain((*path, *place), message)
        return None


def choice(
    source: Source, kind: plugins.Kind, name: Any, options: Any, path: Path, inner: Path
) -> Choice | None:
    """A plug-in by name with its options checked.

    Args:
        path: where the name stands.
        inner: where the options stand.
    """
    try:
        plugin = plugins.find(kind, str(name))
        model = plugins.options_model(kind, plugin)
    except plugins.PluginError as error:
        source.complain(path, str(error))
        return None
    checked = validated(source, model, {} if options is None else options, inner)
    return checked and Choice(kind.name, str(name), checked.model_dump())


def chosen_with(kind: plugins.Kind, name: str, assignments: Iterable[str]) -> Choice:
    """A plug-in by name with options from "name=value".

    Raises:
        InputError: there is none of this name, or an option is wrong.
    """
    plugins.search(FilePath.cwd())
    source = Source({}, {(): name})
    for assignment in assignments:
        source.override(assignment)
    chosen = choice(source, kind, name, source.data, (), ())
    source.check()
    assert chosen is not None
    return chosen


def named_choice(source: Source, kind: plugins.Kind, raw: Any, path: Path) -> Choice | None:
    """A plug-in written as `name` or as `{name: {options}}`."""
    if isinstance(raw, str):
        return choice(source, kind, raw, {}, path, path)
    if isinstance(raw, dict) and len(raw) == 1:
        name, options = next(iter(raw.items()))
        return choice(source, kind, name, options, (*path, name), (*path, name))
    source.complain(path, f"must be a {kind.name}'s name or {{name: {{options}}}}, not {raw!r}")
    return None


def _location(raw: Any, location: tuple[str | int, ...], missing: bool) -> Path:
    """Pydantic's location without the names of union members that it inserts."""
    path: list[str | int] = []
    for part in location:
        if isinstance(raw, list):
            raw = dict(enumerate(raw))
        if isinstance(raw, dict) and part in raw:
            raw = raw[part]
            path.append(part)
    return (*path, location[-1]) if missing else tuple(path)


def _message(model: type[BaseModel], error: Any) -> str:
    found = error["input"]
    if error["type"] == "extra_forbidden":
        holder = _model_at(model, error["loc"][:-1])
        allowed = nearest(str(error["loc"][-1]), holder.model_fields) if holder else ""
        return f"unknown field{allowed}"
    if error["type"] == "missing":
        return "this field is required"
    text = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    hint = ""
    if error["type"] == "literal_error" and isinstance(found, str):
        near = get_close_matches(found, re.findall(r"'([^']*)'", error["ctx"]["expected"]), 1, 0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{text}, not {found!r}{hint}"


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The model whose field a location names; None inside what is no model."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)
