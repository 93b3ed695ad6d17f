"""The JSON Schema of suite and study files, with every known task and mixer, for editors."""

from collections.abc import Iterable
from typing import Any

from lengthwise.harness import plugins
from lengthwise.harness.entries import ARCHITECTURE_SETTINGS, TASK_SETTINGS
from lengthwise.harness.settings import SuiteSettings
from lengthwise.harness.tune.objective import METRICS
from lengthwise.harness.tune.settings import ParameterSettings, StudySettings

DOTTED = r"^[\w.]+:\w+$"
OWN = {"type": "string", "pattern": DOTTED, "description": "package.module:Class"}
"""A plug-in of one's own."""
LABEL = {"label": {"type": "string", "description": "What its panels or curves are called."}}


def suite_schema() -> dict[str, Any]:
    """The schema of a suite file as `load_suite` accepts it.

    >>> sorted(suite_schema()["properties"])[:3]
    ['architectures', 'evaluate', 'model']
    """
    return _schema(SuiteSettings)


def study_schema() -> dict[str, Any]:
    """The schema of a study file as `load_study` accepts it.

    >>> study_schema()["properties"]["sampler"]["default"]
    'tpe'
    """
    schema = _schema(StudySettings)
    metrics = [
        {"type": "object", "properties": {name: each.options.model_json_schema()}}
        | {"required": [name], "additionalProperties": False}
        for name, each in METRICS.items()
    ]
    metric = {"anyOf": [{"enum": list(METRICS)}, *metrics]}
    several = {"type": "array", "items": metric, "minItems": 1, "maxItems": 2}
    schema["properties"]["objective"] = {"anyOf": [metric, several]}
    schema["properties"]["space"]["additionalProperties"] = ParameterSettings.model_json_schema()
    schema["required"] += ["space", "objective"]
    return schema


def _schema(model: type[SuiteSettings]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.setdefault("$defs", {})
    mixer = {"anyOf": _named(definitions, plugins.MIXER)}
    channel_mixers = _named(definitions, plugins.CHANNEL_MIXER)
    named, flat = _named(definitions, plugins.TASK), _flat(definitions, plugins.TASK)
    labelled = [each | {"properties": LABEL | each["properties"]} for each in flat]
    long_task = _long({"task": {"anyOf": [*named, *flat]}}, TASK_SETTINGS)
    task = {"anyOf": [*named, *labelled, long_task | {"required": ["task"]}]}
    properties = schema["properties"]
    properties["tasks"]["items"] = task
    properties["task"] = task | {"description": "Short for tasks with one task."}
    several = {"type": "array", "items": mixer, "minItems": 1}
    long_architecture = _long({"mixer": mixer, "mixers": several}, ARCHITECTURE_SETTINGS) | {
        "oneOf": [{"required": ["mixer"]}, {"required": ["mixers"]}]
    }
    properties["architectures"]["items"] = {"anyOf": [mixer, long_architecture]}
    definitions["ModelSettings"]["properties"]["channel_mixer"] |= {
        "anyOf": [*channel_mixers, {"type": "null"}]
    }
    schema["required"] = ["name", "architectures"]
    schema["oneOf"] = [{"required": ["tasks"]}, {"required": ["task"]}]
    return schema


def _long(listed: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The long form of a task or architecture: a label, what it is, settings of its own."""
    own = {name: {"$ref": f"#/$defs/{name.capitalize()}Settings"} for name in settings}
    properties = LABEL | listed | own
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _named(definitions: dict[str, Any], kind: plugins.Kind) -> list[dict[str, Any]]:
    """`name` and `{name: {options}}`."""
    names = plugins.names(kind)
    options = {"type": ["object", "null"], "description": "The options of one's own."}
    own = {
        "type": "object",
        "patternProperties": {DOTTED: options},
        "additionalProperties": False,
        "minProperties": 1,
    }
    with_options = [
        {
            "type": "object",
            "properties": {name: {"anyOf": [_options(definitions, kind, name), {"type": "null"}]}},
            "required": [name],
            "additionalProperties": False,
        }
        for name in names
    ]
    return [{"enum": names}, OWN, *with_options, own]


def _flat(definitions: dict[str, Any], kind: plugins.Kind) -> list[dict[str, Any]]:
    """`{name: its name, options}`."""
    variants: list[dict[str, Any]] = []
    for name in plugins.names(kind):
        options = _options(definitions, kind, name)
        options["properties"] = {"name": {"const": name}} | options.get("properties", {})
        options["required"] = ["name", *options.get("required", [])]
        variants.append(options)
    return [*variants, {"type": "object", "properties": {"name": OWN}, "required": ["name"]}]


def _options(definitions: dict[str, Any], kind: plugins.Kind, name: str) -> dict[str, Any]:
    plugin = plugins.find(kind, name)
    options = plugins.options_model(kind, plugin).model_json_schema()
    definitions |= options.pop("$defs", {})
    options.pop("title", None)
    return options | {"description": plugins.headline(plugin)}
