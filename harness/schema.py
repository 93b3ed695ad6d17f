"""The JSON Schema of suite and study files, with every known task and mixer, for editors."""

from typing import Any

from lengthwise.harness import plugins
from lengthwise.harness.settings import SuiteSettings
from lengthwise.harness.tune.objective import METRICS
from lengthwise.harness.tune.settings import ParameterSettings, StudySettings

DOTTED = r"^[\w.]+:\w+$"
"""A plug-in of one's own."""


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
    task = _any_of(definitions, plugins.TASK, _task)
    mixer = _any_of(definitions, plugins.MIXER, _named)
    channel_mixer = _any_of(definitions, plugins.CHANNEL_MIXER, _named)
    properties = schema["properties"]
    properties["tasks"]["items"] = task
    properties["task"] = task | {"description": "Short for tasks with one task."}
    several = {"type": "array", "items": mixer, "minItems": 1}
    labelled = {
        "type": "object",
        "properties": {
            "label": {"type": "string"},
            "mixer": mixer,
            "mixers": several,
            "train": {"$ref": "#/$defs/TrainSettings"},
            "model": {"$ref": "#/$defs/ModelSettings"},
        },
        "oneOf": [{"required": ["mixer"]}, {"required": ["mixers"]}],
        "additionalProperties": False,
    }
    properties["architectures"]["items"] = {"anyOf": [mixer, labelled]}
    definitions["ModelSettings"]["properties"]["channel_mixer"] |= {
        "anyOf": [channel_mixer, {"type": "null"}]
    }
    schema["required"] = ["name", "architectures"]
    schema["oneOf"] = [{"required": ["tasks"]}, {"required": ["task"]}]
    return schema


def _any_of(definitions: dict[str, Any], kind: plugins.Kind, make: Any) -> dict[str, Any]:
    names = plugins.names(kind)
    variants = [make(definitions, kind, name) for name in names]
    dotted = {"type": "string", "pattern": DOTTED, "description": "package.module:Class"}
    if kind is plugins.TASK:
        own = {"type": "object", "properties": {"name": dotted}, "required": ["name"]}
    else:
        options = {"type": ["object", "null"], "description": "The options of one's own."}
        own = {
            "type": "object",
            "patternProperties": {DOTTED: options},
            "additionalProperties": False,
            "minProperties": 1,
        }
    return {"anyOf": [{"enum": names}, dotted, *variants, own]}


def _options(definitions: dict[str, Any], kind: plugins.Kind, name: str) -> dict[str, Any]:
    plugin = plugins.find(kind, name)
    options = plugins.options_model(kind, plugin).model_json_schema()
    definitions |= options.pop("$defs", {})
    options.pop("title", None)
    return options | {"description": plugins.headline(plugin)}


def _task(definitions: dict[str, Any], kind: plugins.Kind, name: str) -> dict[str, Any]:
    options = _options(definitions, kind, name)
    options["properties"] = {
        "name": {"const": name},
        "label": {"type": "string", "description": "What its panels are called."},
        **options.get("properties", {}),
    }
    options["required"] = ["name", *options.get("required", [])]
    return options


def _named(definitions: dict[str, Any], kind: plugins.Kind, name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"anyOf": [_options(definitions, kind, name), {"type": "null"}]}},
        "required": [name],
        "additionalProperties": False,
    }
