"""Holding plain data against pydantic models, with errors that name place, finding and remedy."""

import types
import typing
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
        for each in error.errors():
            source.complain((*path, *_location(raw, each["loc"])), _message(model, each))
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
    except plugins.PluginError as error:
        source.complain(path, str(error))
        return None
    model = plugins.options_model(kind, plugin)
    checked = validated(source, model, {} if options is None else options, inner)
    return checked and Choice(kind.name, str(name), checked.model_dump())


def named_choice(source: Source, kind: plugins.Kind, raw: Any, path: Path) -> Choice | None:
    """A plug-in written as `name` or as `{name: {options}}`."""
    if isinstance(raw, str):
        return choice(source, kind, raw, {}, path, path)
    if isinstance(raw, dict) and len(raw) == 1:
        name, options = next(iter(raw.items()))
        return choice(source, kind, name, options, (*path, name), (*path, name))
    source.complain(path, f"must be a {kind.name}'s name or {{name: {{options}}}}, not {raw!r}")
    return None


def _location(raw: Any, location: tuple[str | int, ...]) -> Path:
    """Pydantic's location without the names of union members it inserts."""
    path: list[str | int] = []
    for part in location:
        if isinstance(raw, dict) and not path and part not in raw:
            return (*path, part)
        if isinstance(raw, dict | list):
            try:
                raw = raw[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                return (*path, part)
            path.append(part)
    return tuple(path)


def _message(model: type[BaseModel], error: Any) -> str:
    found = error["input"]
    if error["type"] == "extra_forbidden":
        holder = _model_at(model, error["loc"][:-1])
        return f"unknown field{nearest(str(error['loc'][-1]), list(holder.model_fields))}"
    if error["type"] == "missing":
        return "this field is required"
    text = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{text}, not {found!r}"


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [] if field is None else [field.annotation, *typing.get_args(field.annotation)]
        for each in candidates:
            if isinstance(each, type) and not isinstance(each, types.GenericAlias):
                model = each if issubclass(each, BaseModel) else model
    return model


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)
